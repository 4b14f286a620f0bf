//! Tokens to tree: pipelines, control structures, definitions. Knows which functions exist, and nothing of what they do.

use super::TemplateError;
use super::ast::{Command, Node, Operand, OperandKind, Pipe, Pos};
use super::lex::{Tok, Token, lex, line_of};
use std::collections::BTreeMap;

/// Control structures and parentheses may nest this deep.
const MAX_DEPTH: usize = 100;

type Defined = BTreeMap<String, Vec<Node>>;

pub fn parse(name: &str, text: &str) -> Result<(Vec<Node>, Defined), TemplateError> {
    let tokens = lex(name, text)?;
    let mut p = Parser { name, text, tokens, at: 0, defined: Defined::new(), vars: vec!["$".to_string()], loops: 0, depth: 0 };
    let (root, end) = p.nodes(&[])?;
    match end {
        End::Text => Ok((root, p.defined)),
        End::Else(_) => Err(p.error(p.pos(), "unexpected {{else}}")),
        End::Block => Err(p.error(p.pos(), "unexpected {{end}}")),
    }
}

struct Parser<'a> {
    name: &'a str,
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    defined: Defined,
    /// Variables in scope.
    vars: Vec<String>,
    loops: usize,
    depth: usize,
}

enum End {
    /// The end of the text.
    Text,
    /// `{{end}}`
    Block,
    /// `{{else}}`, with the word that follows it, if any.
    Else(Option<String>),
}

impl Parser<'_> {
    fn error(&self, pos: Pos, message: impl std::fmt::Display) -> TemplateError {
        TemplateError(format!("template: {}:{}: {message}", self.name, line_of(self.text, pos)))
    }

    fn pos(&self) -> Pos {
        self.tokens[self.at.min(self.tokens.len() - 1)].pos
    }

    fn peek(&self) -> &Tok {
        &self.tokens[self.at.min(self.tokens.len() - 1)].tok
    }

    fn next(&mut self) -> Token {
        let t = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        self.at += 1;
        t
    }

    fn skip_space(&mut self) {
        while *self.peek() == Tok::Space {
            self.at += 1;
        }
    }

    fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(self.pos(), "template is nested too deeply"));
        }
        Ok(())
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        self.skip_space();
        let t = self.next();
        if t.tok == Tok::Close { Ok(()) } else { Err(self.unexpected(&t, context)) }
    }

    fn unexpected(&self, t: &Token, context: &str) -> TemplateError {
        self.error(t.pos, format!("unexpected {} in {context}", describe(&t.tok)))
    }

    /// Nodes up to an `{{end}}`, an `{{else}}` or the end of the text.
    fn nodes(&mut self, _context: &[&str]) -> Result<(Vec<Node>, End), TemplateError> {
        self.enter()?;
        let mut out = Vec::new();
        loop {
            let t = self.next();
            match t.tok {
                Tok::Text(s) => out.push(Node::Text(s)),
                Tok::Eof => {
                    self.depth -= 1;
                    return Ok((out, End::Text));
                }
                _ => {
                    self.skip_space();
                    let word = match self.peek() {
                        Tok::Ident(w) => w.clone(),
                        _ => String::new(),
                    };
                    if matches!(word.as_str(), "end" | "else") {
                        self.at += 1;
                        let end = if word == "end" {
                            self.close("end")?;
                            End::Block
                        } else {
                            self.skip_space();
                            match self.peek().clone() {
                                Tok::Ident(w) if w == "if" || w == "with" => {
                                    self.at += 1;
                                    End::Else(Some(w))
                                }
                                _ => {
                                    self.close("else")?;
                                    End::Else(None)
                                }
                            }
                        };
                        self.depth -= 1;
                        return Ok((out, end));
                    }
                    if let Some(node) = self.action(&word)? {
                        out.push(node);
                    }
                }
            }
        }
    }

    fn action(&mut self, word: &str) -> Result<Option<Node>, TemplateError> {
        if matches!(word, "if" | "with" | "range" | "define" | "block" | "template" | "break" | "continue") {
            self.at += 1;
        }
        Ok(match word {
            "if" | "with" | "range" => Some(self.control(word)?),
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(self.pos(), format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close(word)?;
                Some(if word == "break" { Node::Break } else { Node::Continue })
            }
            "define" => {
                let name = self.quoted_name("define clause")?;
                self.close("define clause")?;
                self.definition(name)?;
                None
            }
            "block" => {
                let pos = self.pos();
                let name = self.quoted_name("block clause")?;
                let pipe = self.pipeline("block clause", &Tok::Close)?;
                self.definition(name.clone())?;
                Some(Node::Template { pos, name, pipe: Some(pipe) })
            }
            "template" => {
                let pos = self.pos();
                let name = self.quoted_name("template clause")?;
                self.skip_space();
                let pipe = if *self.peek() == Tok::Close {
                    self.at += 1;
                    None
                } else {
                    Some(self.pipeline("template clause", &Tok::Close)?)
                };
                Some(Node::Template { pos, name, pipe })
            }
            _ => Some(Node::Action(self.pipeline("command", &Tok::Close)?)),
        })
    }

    fn quoted_name(&mut self, context: &str) -> Result<String, TemplateError> {
        self.skip_space();
        let t = self.next();
        match t.tok {
            Tok::Str(s, _) => Ok(s),
            _ => Err(self.unexpected(&t, context)),
        }
    }

    fn definition(&mut self, name: String) -> Result<(), TemplateError> {
        let vars = std::mem::replace(&mut self.vars, vec!["$".to_string()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.nodes(&[])?;
        self.vars = vars;
        self.loops = loops;
        match end {
            End::Block => {
                self.defined.insert(name, body);
                Ok(())
            }
            End::Text => Err(self.error(self.pos(), "unexpected EOF")),
            End::Else(_) => Err(self.error(self.pos(), "unexpected {{else}} in define clause")),
        }
    }

    fn control(&mut self, word: &str) -> Result<Node, TemplateError> {
        self.enter()?;
        let scope = self.vars.len();
        let pipe = self.pipeline(word, &Tok::Close)?;
        self.loops += usize::from(word == "range");
        let (then, end) = self.nodes(&[])?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            End::Block => Vec::new(),
            End::Text => return Err(self.error(self.pos(), "unexpected EOF")),
            End::Else(Some(next)) => {
                if word == "range" || next != word {
                    return Err(self.error(self.pos(), format!("unexpected <{next}> in {{{{else}}}} of {word}")));
                }
                vec![self.control(&next)?]
            }
            End::Else(None) => {
                let (nodes, end) = self.nodes(&[])?;
                match end {
                    End::Block => nodes,
                    End::Text => return Err(self.error(self.pos(), "unexpected EOF")),
                    End::Else(_) => return Err(self.error(self.pos(), "expected end; found {{else}}")),
                }
            }
        };
        self.vars.truncate(scope);
        self.depth -= 1;
        Ok(match word {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, body: then, otherwise },
        })
    }

    fn pipeline(&mut self, context: &str, end: &Tok) -> Result<Pipe, TemplateError> {
        self.enter()?;
        self.skip_space();
        let mut pipe = Pipe { pos: self.pos(), decl: Vec::new(), assign: false, commands: Vec::new() };
        self.declarations(context, &mut pipe)?;
        loop {
            self.skip_space();
            match self.peek() {
                t if t == end => {
                    self.at += 1;
                    break;
                }
                Tok::Pipe => {
                    let t = self.next();
                    if pipe.commands.is_empty() {
                        return Err(self.unexpected(&t, context));
                    }
                }
                Tok::Ident(_) | Tok::Field(_) | Tok::Variable(_) | Tok::Dot | Tok::Str(..) | Tok::Char(..) | Tok::Number(_) | Tok::LeftParen => {
                    let c = self.command(context)?;
                    pipe.commands.push(c);
                    self.skip_space();
                    if !(self.peek() == end || *self.peek() == Tok::Pipe) {
                        let t = self.next();
                        return Err(self.unexpected(&t, context));
                    }
                    if *self.peek() == Tok::Pipe {
                        self.at += 1;
                        self.skip_space();
                        if self.peek() == end {
                            return Err(self.error(self.pos(), format!("missing value for {context}")));
                        }
                    }
                }
                _ => {
                    let t = self.next();
                    return Err(self.unexpected(&t, context));
                }
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(pipe.pos, format!("missing value for {context}")));
        }
        for (i, c) in pipe.commands.iter().enumerate().skip(1) {
            let literal = matches!(
                c.args[0].kind,
                OperandKind::Bool(_) | OperandKind::Dot | OperandKind::Nil | OperandKind::Int(..) | OperandKind::Float(..) | OperandKind::Str(..)
            );
            if literal {
                return Err(self.error(c.pos, format!("non executable command in pipeline stage {}", i + 1)));
            }
        }
        self.depth -= 1;
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and of range `$i, $x :=`.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), TemplateError> {
        let Tok::Variable(first) = self.peek().clone() else { return Ok(()) };
        let save = self.at;
        let mut names = vec![first];
        self.at += 1;
        self.skip_space();
        if *self.peek() == Tok::Comma && context == "range" {
            self.at += 1;
            self.skip_space();
            let t = self.next();
            match t.tok {
                Tok::Variable(second) => names.push(second),
                _ => return Err(self.error(t.pos, "range can only initialize variables")),
            }
            self.skip_space();
        } else if *self.peek() == Tok::Comma {
            return Err(self.error(self.pos(), format!("too many declarations in {context}")));
        }
        match self.peek() {
            Tok::Declare => {
                self.at += 1;
                self.vars.extend(names.iter().cloned());
                pipe.decl = names;
            }
            Tok::Assign => {
                self.at += 1;
                if let Some(unknown) = names.iter().find(|n| !self.vars.contains(n)) {
                    return Err(self.error(pipe.pos, format!("undefined variable {unknown:?}")));
                }
                pipe.decl = names;
                pipe.assign = true;
            }
            _ => self.at = save,
        }
        Ok(())
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        let mut cmd = Command { pos: self.pos(), args: Vec::new() };
        loop {
            self.skip_space();
            let Some(operand) = self.operand(context)? else { break };
            cmd.args.push(operand);
            match self.peek() {
                Tok::Space => {}
                _ => break,
            }
        }
        Ok(cmd)
    }

    fn operand(&mut self, _context: &str) -> Result<Option<Operand>, TemplateError> {
        let pos = self.pos();
        let kind = match self.peek().clone() {
            Tok::Ident(word) => match word.as_str() {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                w if super::builtin::NAMES.contains(&w) || super::funcs::FUNCTION_NAMES.contains(&w) => OperandKind::Function(word),
                _ => return Err(self.error(pos, format!("function {word:?} not defined"))),
            },
            Tok::Dot => OperandKind::Dot,
            Tok::Field(f) => {
                self.at += 1;
                let mut names = vec![f];
                names.extend(self.fields());
                return Ok(Some(Operand { pos, kind: OperandKind::Field(names) }));
            }
            Tok::Variable(v) => {
                if !self.vars.contains(&v) {
                    return Err(self.error(pos, format!("undefined variable {v:?}")));
                }
                self.at += 1;
                let fields = self.fields();
                return Ok(Some(Operand { pos, kind: OperandKind::Variable(v, fields) }));
            }
            Tok::Str(value, text) => OperandKind::Str(value, text),
            Tok::Char(text, value) => OperandKind::Int(value, text),
            Tok::Number(text) => self.number(pos, text)?,
            Tok::LeftParen => {
                self.at += 1;
                let inner = self.pipeline("parenthesized pipeline", &Tok::RightParen)?;
                let fields = self.fields();
                return Ok(Some(Operand { pos, kind: OperandKind::Paren(Box::new(inner), fields) }));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(Operand { pos, kind }))
    }

    fn fields(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Tok::Field(f) = self.peek().clone() {
            self.at += 1;
            out.push(f);
        }
        out
    }

    fn number(&self, pos: Pos, text: String) -> Result<OperandKind, TemplateError> {
        let plain = text.replace('_', "");
        let (sign, digits) = match plain.strip_prefix('-') {
            Some(d) => (-1, d),
            None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        let int = match digits.get(..2) {
            Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16),
            Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2),
            Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8),
            Some(d) if d.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => i64::from_str_radix(digits, 8),
            _ => digits.parse(),
        };
        if let Ok(n) = int {
            return Ok(OperandKind::Int(sign * n, text));
        }
        match plain.parse::<f64>() {
            Ok(v) if plain.bytes().any(|b| b.is_ascii_digit()) => Ok(OperandKind::Float(v, text)),
            _ => Err(self.error(pos, format!("bad number syntax: {text:?}"))),
        }
    }
}

fn describe(t: &Tok) -> String {
    match t {
        Tok::Eof => "EOF".to_string(),
        Tok::Close => "\"}}\"".to_string(),
        Tok::Open => "\"{{\"".to_string(),
        Tok::Space => "\" \"".to_string(),
        Tok::Pipe => "\"|\"".to_string(),
        Tok::LeftParen => "\"(\"".to_string(),
        Tok::RightParen => "\")\"".to_string(),
        Tok::Assign => "\"=\"".to_string(),
        Tok::Declare => "\":=\"".to_string(),
        Tok::Comma => "\",\"".to_string(),
        Tok::Dot => "<.>".to_string(),
        Tok::Ident(w) => format!("<{w}>"),
        Tok::Field(f) => format!("<.{f}>"),
        Tok::Variable(v) => format!("<{v}>"),
        Tok::Str(_, s) | Tok::Char(s, _) | Tok::Number(s) | Tok::Text(s) => format!("{s:?}"),
    }
}
