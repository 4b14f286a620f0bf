//! Evaluation.
pub mod calendar;
pub mod limits;
pub mod rows;
use crate::annotations::Annotations;
use crate::engine::{QueryError, QueryStats};
use crate::parse::Expr;
use crate::plan::Plan;
use crate::value::Value;
use limits::Budget;
use rows::Grid;
use std::sync::Arc;
use storage::Queryable;
pub mod binop {
    use crate::parse::ast::BinaryOp;
    pub fn scalar(_op: BinaryOp, a: f64, _b: f64) -> f64 {
        a
    }
}
#[derive(Clone, Copy, Debug)]
pub struct Switches {
    pub lookback_ms: i64,
    pub delayed_names: bool,
    pub type_and_unit: bool,
    pub start_timestamps: bool,
    pub threads: usize,
    pub hint_step_ms: i64,
}
pub struct Run<'q> {
    pub storage: &'q dyn Queryable,
    pub budget: &'q Arc<Budget>,
    pub switches: Switches,
    pub grid: Grid,
    pub instant: bool,
    pub per_step: bool,
}
pub fn on_deep_stack<T: Send>(_expr: &Expr, work: impl FnOnce() -> T + Send) -> T {
    work()
}
pub fn run(_q: &Run<'_>, _p: &Plan, _c: &stdx::clock::SharedClock, _a: &mut Annotations, _s: &mut QueryStats) -> Result<Value, QueryError> {
    Err(QueryError::execution("not yet"))
}
