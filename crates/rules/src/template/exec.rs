//! Walks the tree and writes the text. Errors say `template: name:line:col: executing "name" at <piece>: why`, as Go's do.

use super::ast::{Command, Node, Operand, OperandKind, Pipe, Pos};
use super::builtin;
use super::funcs::Functions;
use super::lex::line_of;
use super::value::Value;
use super::{MAX_OUTPUT_BYTES, Template, TemplateError};
use std::rc::Rc;

/// Templates may call each other this deep.
const MAX_CALLS: usize = 100;
/// Nodes that one expansion may visit.
const MAX_STEPS: usize = 1_000_000;

pub fn execute(t: &Template, data: &Value, functions: &Functions<'_>) -> Result<String, TemplateError> {
    let mut e = Exec { t, functions, out: String::new(), vars: vec![("$".to_string(), data.clone())], name: t.name.clone(), calls: 0, steps: 0 };
    e.nodes(&t.root, data)?;
    Ok(e.out)
}

struct Exec<'a, 'f> {
    t: &'a Template,
    functions: &'a Functions<'f>,
    out: String,
    vars: Vec<(String, Value)>,
    /// Of the template that is being executed.
    name: String,
    calls: usize,
    steps: usize,
}

/// Why a list of nodes was left.
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a> Exec<'a, '_> {
    fn error(&self, pos: Pos, at: impl std::fmt::Display, message: impl std::fmt::Display) -> TemplateError {
        let line_start = self.t.text[..pos].rfind('\n').map_or(0, |i| i + 1);
        let place = format!("{}:{}:{}", self.t.name, line_of(&self.t.text, pos), pos - line_start);
        TemplateError(format!("template: {place}: executing {:?} at <{at}>: {message}", self.name))
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Value) -> Result<Flow, TemplateError> {
        let scope = self.vars.len();
        let mut flow = Flow::Next;
        for n in nodes {
            self.steps += 1;
            if self.out.len() > MAX_OUTPUT_BYTES || self.steps > MAX_STEPS {
                return Err(TemplateError(format!("template: {}: output or work beyond its limit", self.t.name)));
            }
            flow = self.node(n, dot)?;
            if !matches!(flow, Flow::Next) {
                break;
            }
        }
        self.vars.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, n: &'a Node, dot: &Value) -> Result<Flow, TemplateError> {
        match n {
            Node::Text(s) => self.out.push_str(s),
            Node::Action(pipe) => {
                let v = self.pipe(pipe, dot)?;
                if pipe.decl.is_empty() {
                    v.print(&mut self.out);
                }
            }
            Node::If { pipe, then, otherwise } | Node::With { pipe, then, otherwise } => {
                let scope = self.vars.len();
                let v = self.pipe(pipe, dot)?;
                let is_with = matches!(n, Node::With { .. });
                let flow = if v.is_true() { self.nodes(then, if is_with { &v } else { dot })? } else { self.nodes(otherwise, dot)? };
                self.vars.truncate(scope);
                return Ok(flow);
            }
            Node::Range { pipe, body, otherwise } => return self.range(pipe, body, otherwise, dot),
            Node::Template { pos, name, pipe } => {
                let Some(body) = self.t.defined.get(name) else {
                    return Err(self.error(*pos, format!("{{{{template {name:?}}}}}"), format!("template {name:?} not defined")));
                };
                if self.calls >= MAX_CALLS {
                    return Err(self.error(*pos, format!("{{{{template {name:?}}}}}"), format!("exceeded maximum template depth ({MAX_CALLS})")));
                }
                let data = match pipe {
                    Some(p) => self.pipe(p, dot)?,
                    None => Value::Nil,
                };
                let vars = std::mem::replace(&mut self.vars, vec![("$".to_string(), data.clone())]);
                let outer = std::mem::replace(&mut self.name, name.clone());
                self.calls += 1;
                self.nodes(body, &data)?;
                self.calls -= 1;
                self.name = outer;
                self.vars = vars;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn range(&mut self, pipe: &'a Pipe, body: &'a [Node], otherwise: &'a [Node], dot: &Value) -> Result<Flow, TemplateError> {
        let scope = self.vars.len();
        let over = self.range_value(pipe, dot)?;
        let items: Vec<(Value, Value)> = match &over {
            Value::List(l) => l.iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v.clone())).collect(),
            Value::Vector(v) => v.iter().enumerate().map(|(i, s)| (Value::Int(i as i64), Value::Sample(Rc::clone(s)))).collect(),
            Value::Labels(m) => m.iter().map(|(k, v)| (Value::from(k.as_str()), Value::from(v.as_str()))).collect(),
            Value::Map(m) => m.iter().map(|(k, v)| (Value::from(k.as_str()), v.clone())).collect(),
            Value::Int(n) => (0..(*n).clamp(0, MAX_STEPS as i64)).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil => Vec::new(),
            other => return Err(self.error(pipe.pos, pipe, format!("range can't iterate over {}", other.text()))),
        };
        let mut flow = Flow::Next;
        if items.is_empty() {
            flow = self.nodes(otherwise, dot)?;
        }
        for (key, item) in items {
            let mark = self.vars.len();
            match pipe.decl.as_slice() {
                [one] => self.bind(one, item.clone(), pipe.assign),
                [k, v] => {
                    self.bind(k, key, pipe.assign);
                    self.bind(v, item.clone(), pipe.assign);
                }
                _ => {}
            }
            let inner = self.nodes(body, &item)?;
            self.vars.truncate(mark);
            if matches!(inner, Flow::Break) {
                break;
            }
        }
        self.vars.truncate(scope);
        Ok(flow)
    }

    /// The value that a range goes over; its variables are bound per element, not here.
    fn range_value(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let mut v = None;
        for c in &pipe.commands {
            v = Some(self.command(c, dot, v)?);
        }
        Ok(v.unwrap_or(Value::Nil))
    }

    fn bind(&mut self, name: &str, v: Value, assign: bool) {
        match self.vars.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, slot)) if assign => *slot = v,
            _ => self.vars.push((name.to_string(), v)),
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let v = self.range_value(pipe, dot)?;
        for name in &pipe.decl {
            self.bind(name, v.clone(), pipe.assign);
        }
        Ok(v)
    }

    fn command(&mut self, c: &'a Command, dot: &Value, last: Option<Value>) -> Result<Value, TemplateError> {
        let first = &c.args[0];
        match &first.kind {
            OperandKind::Function(name) => {
                if name == "and" || name == "or" {
                    return self.short_circuit(name == "and", c, dot, last);
                }
                let mut args = Vec::with_capacity(c.args.len());
                for a in &c.args[1..] {
                    args.push(self.operand(a, dot)?);
                }
                args.extend(last);
                let result = if builtin::NAMES.contains(&name.as_str()) { builtin::call(name, &args) } else { self.functions.call(name, &args) };
                result.map_err(|e| {
                    if e.is_usage {
                        self.error(first.pos, name, e.message)
                    } else {
                        self.error(c.pos, c, format!("error calling {name}: {}", e.message))
                    }
                })
            }
            OperandKind::Field(names) => self.chain(first, dot.clone(), names, c, dot, last),
            OperandKind::Variable(name, fields) => {
                let v = self.variable(first, name)?;
                self.chain(first, v, fields, c, dot, last)
            }
            OperandKind::Paren(p, fields) => {
                let v = self.pipe(p, dot)?;
                self.chain(first, v, fields, c, dot, last)
            }
            _ => {
                if c.args.len() > 1 || last.is_some() {
                    return Err(self.error(first.pos, first, format!("can't give argument to non-function {first}")));
                }
                self.operand(first, dot)
            }
        }
    }

    fn short_circuit(&mut self, and: bool, c: &'a Command, dot: &Value, last: Option<Value>) -> Result<Value, TemplateError> {
        let mut v = None;
        for a in &c.args[1..] {
            let x = self.operand(a, dot)?;
            let decided = x.is_true() != and;
            v = Some(x);
            if decided {
                return Ok(v.unwrap_or(Value::Nil));
            }
        }
        match last.or(v) {
            Some(v) => Ok(v),
            None => Err(self.error(c.pos, c, "wrong number of args for and/or: want at least 1 got 0")),
        }
    }

    fn variable(&self, o: &Operand, name: &str) -> Result<Value, TemplateError> {
        match self.vars.iter().rev().find(|(n, _)| n == name) {
            Some((_, v)) => Ok(v.clone()),
            None => Err(self.error(o.pos, o, format!("undefined variable: {name}"))),
        }
    }

    fn operand(&mut self, o: &'a Operand, dot: &Value) -> Result<Value, TemplateError> {
        Ok(match &o.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Nil,
            OperandKind::Bool(b) => Value::Bool(*b),
            OperandKind::Int(n, _) => Value::Int(*n),
            OperandKind::Float(v, _) => Value::Float(*v),
            OperandKind::Str(s, _) => Value::from(s.as_str()),
            OperandKind::Field(names) => self.fields(o, dot.clone(), names, Vec::new())?,
            OperandKind::Variable(name, fields) => {
                let v = self.variable(o, name)?;
                self.fields(o, v, fields, Vec::new())?
            }
            OperandKind::Paren(p, fields) => {
                let v = self.pipe(p, dot)?;
                self.fields(o, v, fields, Vec::new())?
            }
            OperandKind::Function(name) => {
                let r = if builtin::NAMES.contains(&name.as_str()) { builtin::call(name, &[]) } else { self.functions.call(name, &[]) };
                r.map_err(|e| self.error(o.pos, o, format!("error calling {name}: {}", e.message)))?
            }
        })
    }

    /// A field chain as a command: its arguments go to the last field, which must then be a method.
    fn chain(
        &mut self,
        o: &'a Operand,
        v: Value,
        fields: &'a [String],
        c: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, TemplateError> {
        let mut args = Vec::new();
        for a in &c.args[1..] {
            args.push(self.operand(a, dot)?);
        }
        args.extend(last);
        if fields.is_empty() && !args.is_empty() {
            return Err(self.error(o.pos, o, format!("can't give argument to non-function {o}")));
        }
        self.fields(o, v, fields, args)
    }

    fn fields(&self, o: &Operand, mut v: Value, fields: &[String], args: Vec<Value>) -> Result<Value, TemplateError> {
        let inner = || match &o.kind {
            // Go points at the last thing it evaluated: the innermost argument.
            OperandKind::Paren(p, _) => p.commands.last().and_then(|c| c.args.last()).map(|a| (a.pos, a.to_string())),
            _ => None,
        };
        for (i, name) in fields.iter().enumerate() {
            let args = if i + 1 == fields.len() { args.as_slice() } else { &[] };
            v = field(&v, name, args).map_err(|message| {
                let (pos, at) = inner().unwrap_or_else(|| (o.pos, o.to_string()));
                self.error(pos, at, message)
            })?;
        }
        Ok(v)
    }
}

fn field(v: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
    let no_args = |v: Value| if args.is_empty() { Ok(v) } else { Err(format!("{name} has arguments but cannot be invoked as function")) };
    match v {
        Value::Nil => no_args(Value::Nil),
        Value::Labels(m) => no_args(Value::from(m.get(name).map_or("", String::as_str))),
        Value::Map(m) => no_args(m.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Struct(_, fields) if fields.contains_key(name) => no_args(fields[name].clone()),
        Value::Sample(s) if name == "Labels" => no_args(Value::Labels(Rc::clone(&s.labels))),
        Value::Sample(s) if name == "Value" => no_args(s.value.clone().into()),
        Value::Histogram(h) => match name {
            "Count" => no_args(Value::Float(h.count)),
            "Sum" => no_args(Value::Float(h.sum)),
            "ZeroCount" => no_args(Value::Float(h.zero_count)),
            "ZeroThreshold" => no_args(Value::Float(h.zero_threshold)),
            "Schema" => no_args(Value::Int(i64::from(h.schema))),
            "String" => no_args(Value::from(h.to_string())),
            _ => Err(format!("can't evaluate field {name} in type {}", v.type_name())),
        },
        Value::Time(ns) => {
            super::gotime::time_method(*ns, name, args).unwrap_or_else(|| Err(format!("can't evaluate field {name} in type *time.Time")))
        }
        Value::Duration(ns) => {
            super::gotime::duration_method(*ns, name, args).unwrap_or_else(|| Err(format!("can't evaluate field {name} in type *time.Duration")))
        }
        _ => Err(format!("can't evaluate field {name} in type {}", v.type_name())),
    }
}
