//! oslo.policy's expression language: `role:admin or (role:member and project_id:%(project_id)s)`.
//!
//! Precedence is `not`, `and`, `or`. What oslo accepts and this does not, because it would be a surprise
//! later: `http:` checks, attributes of the actor that do not exist, and expressions deeper than [`DEEPEST`].

use base::Map;

use crate::actor::Attribute;

/// How deep parentheses and `not` may nest.
const DEEPEST: usize = 64;

/// A compiled expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    True,
    False,
    Not(Box<Check>),
    And(Vec<Check>),
    Or(Vec<Check>),
    /// Another rule, by name until resolved.
    Named(String),
    Rule(usize),
    Role(Template),
    /// An attribute of the actor equals the text.
    Attribute(Attribute, Template),
    /// A constant equals the text: `'public':%(visibility)s`, `None:%(target.role.domain_id)s`.
    Literal(String, Template),
    /// The target has no such attribute: what `None:%(x)s` means there.
    Absent(String),
}

/// Text with `%(name)s` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(pub(super) Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Target(String),
}

impl Check {
    /// Replaces names by places; the error is a name that is unknown.
    pub(super) fn resolve(&mut self, names: &Map<String, usize>) -> Result<(), String> {
        match self {
            Check::Named(name) => match names.get(name) {
                Some(index) => *self = Check::Rule(*index),
                None => return Err(std::mem::take(name)),
            },
            Check::Not(inner) => inner.resolve(names)?,
            Check::And(all) | Check::Or(all) => {
                for check in all {
                    check.resolve(names)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The rules it refers to.
    pub(super) fn references(&self, found: &mut Vec<usize>) {
        match self {
            Check::Rule(index) => found.push(*index),
            Check::Not(inner) => inner.references(found),
            Check::And(all) | Check::Or(all) => all.iter().for_each(|c| c.references(found)),
            _ => {}
        }
    }
}

/// Reads an expression. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Check, String> {
    if text.trim().is_empty() {
        return Ok(Check::True);
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0 };
    let check = parser.or(0)?;
    match parser.peek() {
        None => Ok(check),
        Some(Token::Close) => Err("there is a ) without a (".into()),
        Some(token) => Err(format!("{token} is not expected there")),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(String),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Open => f.write_str("("),
            Token::Close => f.write_str(")"),
            Token::And => f.write_str("and"),
            Token::Or => f.write_str("or"),
            Token::Not => f.write_str("not"),
            Token::Check(text) => write!(f, "{text:?}"),
        }
    }
}

/// Words apart at white space; parentheses apart unless they belong to a `%(name)s`; quoted text whole.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        if let Some(end) = quote {
            word.push(c);
            if c == end {
                quote = None;
            }
            continue;
        }
        match c {
            '\'' | '"' => {
                quote = Some(c);
                word.push(c);
            }
            '%' if chars.peek() == Some(&'(') => {
                word.push(c);
                loop {
                    match chars.next() {
                        Some(c) => {
                            word.push(c);
                            if c == ')' {
                                break;
                            }
                        }
                        None => return Err("a %( has no )".into()),
                    }
                }
            }
            '(' | ')' => {
                push_word(&mut tokens, &mut word);
                tokens.push(if c == '(' { Token::Open } else { Token::Close });
            }
            c if c.is_whitespace() => push_word(&mut tokens, &mut word),
            c => word.push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote has no end".into());
    }
    push_word(&mut tokens, &mut word);
    Ok(tokens)
}

fn push_word(tokens: &mut Vec<Token>, word: &mut String) {
    if word.is_empty() {
        return;
    }
    let word = std::mem::take(word);
    tokens.push(match word.to_ascii_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => Token::Check(word),
    });
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, token: &Token) -> bool {
        let taken = self.peek() == Some(token);
        if taken {
            self.at += 1;
        }
        taken
    }

    fn or(&mut self, depth: usize) -> Result<Check, String> {
        let mut any = vec![self.and(depth)?];
        while self.take(&Token::Or) {
            any.push(self.and(depth)?);
        }
        Ok(one_or(any, Check::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Check, String> {
        let mut all = vec![self.not(depth)?];
        while self.take(&Token::And) {
            all.push(self.not(depth)?);
        }
        Ok(one_or(all, Check::And))
    }

    fn not(&mut self, depth: usize) -> Result<Check, String> {
        if depth >= DEEPEST {
            return Err(format!("it nests deeper than {DEEPEST}"));
        }
        if self.take(&Token::Not) {
            return Ok(Check::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.or(depth + 1)?;
            if !self.take(&Token::Close) {
                return Err("a ( has no )".into());
            }
            return Ok(inner);
        }
        match self.peek() {
            Some(Token::Check(text)) => {
                let check = leaf(text)?;
                self.at += 1;
                Ok(check)
            }
            Some(token) => Err(format!("{token} is not expected there")),
            None => Err("it ends where a check is expected".into()),
        }
    }
}

fn one_or(mut checks: Vec<Check>, many: fn(Vec<Check>) -> Check) -> Check {
    match (checks.len(), checks.pop()) {
        (1, Some(check)) => check,
        (_, Some(last)) => {
            checks.push(last);
            many(checks)
        }
        (_, None) => Check::True,
    }
}

/// One check: `kind:match`, `@`, `!`.
fn leaf(text: &str) -> Result<Check, String> {
    match text {
        "@" => return Ok(Check::True),
        "!" => return Ok(Check::False),
        _ => {}
    }
    // The kind may be quoted and hold colons itself.
    let (kind, wanted) = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let rest = &text[1..];
            let end = rest.find(quote).ok_or("a quote has no end")?;
            let after = rest[end + 1..].strip_prefix(':').ok_or_else(|| no_colon(text))?;
            (Kind::Literal(rest[..end].to_owned()), after)
        }
        _ => {
            let (kind, wanted) = text.split_once(':').ok_or_else(|| no_colon(text))?;
            (Kind::of(kind)?, wanted)
        }
    };
    if wanted.is_empty() {
        return Err(format!("{text:?} has nothing after its colon"));
    }
    Ok(match kind {
        Kind::Rule => Check::Named(wanted.to_owned()),
        Kind::Role => Check::Role(template(wanted)?),
        Kind::Attribute(attribute) => Check::Attribute(attribute, template(wanted)?),
        Kind::Literal(literal) => Check::Literal(literal, template(wanted)?),
        Kind::None => match template(wanted)?.0.as_slice() {
            [Part::Target(name)] => Check::Absent(name.clone()),
            _ => return Err(format!("{text:?}: None is compared with a %(name)s only")),
        },
    })
}

fn no_colon(text: &str) -> String {
    format!("{text:?} is no check: it has no colon")
}

enum Kind {
    Rule,
    Role,
    Attribute(Attribute),
    Literal(String),
    None,
}

impl Kind {
    fn of(kind: &str) -> Result<Kind, String> {
        Ok(match kind {
            "rule" => Kind::Rule,
            "role" => Kind::Role,
            "None" => Kind::None,
            "True" | "False" => Kind::Literal(kind.to_owned()),
            "http" | "https" => return Err("checks by HTTP are not supported".into()),
            _ if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_digit()) => {
                Kind::Literal(kind.to_owned())
            }
            _ => match Attribute::named(kind) {
                Some(attribute) => Kind::Attribute(attribute),
                None => {
                    return Err(format!(
                        "{kind:?} is nothing that a token has: rule, role, user_id, project_id, \
                         domain_id, user_domain_id, project_domain_id, system_scope, is_admin, None \
                         or a quoted text"
                    ));
                }
            },
        })
    }
}

fn template(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        if let Some(tail) = tail.strip_prefix("%%") {
            parts.push(Part::Text("%".into()));
            rest = tail;
            continue;
        }
        let named = tail.strip_prefix("%(").and_then(|tail| tail.split_once(")s"));
        match named {
            Some((name, tail)) if !name.is_empty() && !name.contains(')') => {
                parts.push(Part::Target(name.to_owned()));
                rest = tail;
            }
            _ => return Err(format!("{text:?}: after % comes (name)s")),
        }
    }
    if !rest.is_empty() {
        // Quotes around a constant on the right are not part of it.
        let bare = rest.trim_matches(|c| c == '\'' || c == '"');
        parts.push(Part::Text(if parts.is_empty() { bare } else { rest }.to_owned()));
    }
    Ok(Template(parts))
}
