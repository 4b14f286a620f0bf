//! The tree of a template, and how its pieces are written back in error messages.

use std::fmt;

/// Byte offset into the template's text.
pub type Pos = usize;

#[derive(Debug, Clone)]
pub enum Node {
    Text(String),
    /// A pipeline whose value is printed (unless it declares variables).
    Action(Pipe),
    If {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        pos: Pos,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

#[derive(Debug, Clone)]
pub struct Pipe {
    pub pos: Pos,
    /// Variables that get the value; of `range` the second gets the element.
    pub decl: Vec<String>,
    /// `=` instead of `:=`.
    pub assign: bool,
    pub commands: Vec<Command>,
}

#[derive(Debug, Clone)]
pub struct Command {
    pub pos: Pos,
    pub args: Vec<Operand>,
}

#[derive(Debug, Clone)]
pub struct Operand {
    pub pos: Pos,
    pub kind: OperandKind,
}

#[derive(Debug, Clone)]
pub enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64, String),
    Float(f64, String),
    Str(String, String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A`
    Variable(String, Vec<String>),
    Function(String),
    /// `(pipeline).A.B`
    Paren(Box<Pipe>, Vec<String>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.decl.is_empty() {
            write!(f, "{} {} ", self.decl.join(", "), if self.assign { "=" } else { ":=" })?;
        }
        for (i, c) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, a) in self.args.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{a}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(b) => write!(f, "{b}"),
            OperandKind::Int(_, text) | OperandKind::Float(_, text) | OperandKind::Str(_, text) | OperandKind::Function(text) => f.write_str(text),
            OperandKind::Field(names) => write!(f, ".{}", names.join(".")),
            OperandKind::Variable(name, fields) => {
                f.write_str(name)?;
                fields.iter().try_for_each(|n| write!(f, ".{n}"))
            }
            OperandKind::Paren(p, fields) => {
                write!(f, "({p})")?;
                fields.iter().try_for_each(|n| write!(f, ".{n}"))
            }
        }
    }
}
