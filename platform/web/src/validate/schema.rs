//! The schema as data: one flat, copyable struct with builders that work in constants.

use super::Format;
use crate::{Microversion, microversion::in_table};

/// The types that a value may have, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(pub(super) u8);

impl Types {
    pub(super) const INTEGER: u8 = 1;
    pub(super) const NUMBER: u8 = 2;
    pub(super) const STRING: u8 = 4;
    pub(super) const BOOLEAN: u8 = 8;
    pub(super) const OBJECT: u8 = 16;
    pub(super) const ARRAY: u8 = 32;
    pub(super) const NULL: u8 = 64;

    /// In the order in which Nova lists them.
    pub(super) const NAMES: [(u8, &'static str); 7] = [
        (Types::INTEGER, "integer"),
        (Types::NUMBER, "number"),
        (Types::BOOLEAN, "boolean"),
        (Types::STRING, "string"),
        (Types::OBJECT, "object"),
        (Types::ARRAY, "array"),
        (Types::NULL, "null"),
    ];
}

/// A constant among those that a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text.
    Text(&'static str),
    /// A number.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// Null.
    Null,
}

/// Names of an object that its properties do not list.
#[derive(Clone, Copy, Debug)]
pub enum Additional {
    /// Refused.
    Refused,
    /// Taken as they are.
    Allowed,
    /// Taken as they are before this microversion, refused from it on.
    AllowedUntil(Microversion),
    /// Taken when the name matches the pattern and the value the schema.
    Matching(&'static str, &'static Schema),
}

/// What a value must be. Make it with the builders, in a `const`.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    pub(super) title: &'static str,
    pub(super) types: Types,
    pub(super) literals: &'static [Literal],
    pub(super) min_len: usize,
    pub(super) max_len: usize,
    pub(super) pattern: Option<&'static str>,
    pub(super) format: Option<Format>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) items: Option<&'static Schema>,
    pub(super) unique: bool,
    pub(super) props: &'static [Prop],
    pub(super) additional: Additional,
    pub(super) any_of: &'static [Schema],
}

const ANY: Schema = Schema {
    title: "",
    types: Types(0),
    literals: &[],
    min_len: 0,
    max_len: usize::MAX,
    pattern: None,
    format: None,
    min: None,
    max: None,
    items: None,
    unique: false,
    props: &[],
    additional: Additional::Allowed,
    any_of: &[],
};

/// Nova's words for booleans.
const BOOLEANS: &[Literal] = &[
    Literal::Boolean(true),
    Literal::Text("True"),
    Literal::Text("TRUE"),
    Literal::Text("true"),
    Literal::Text("1"),
    Literal::Text("ON"),
    Literal::Text("On"),
    Literal::Text("on"),
    Literal::Text("YES"),
    Literal::Text("Yes"),
    Literal::Text("yes"),
    Literal::Boolean(false),
    Literal::Text("False"),
    Literal::Text("FALSE"),
    Literal::Text("false"),
    Literal::Text("0"),
    Literal::Text("OFF"),
    Literal::Text("Off"),
    Literal::Text("off"),
    Literal::Text("NO"),
    Literal::Text("No"),
    Literal::Text("no"),
];

impl Schema {
    const fn of(types: u8) -> Schema {
        Schema { types: Types(types), ..ANY }
    }

    /// Anything.
    pub const fn any() -> Schema {
        ANY
    }

    /// A text.
    pub const fn string() -> Schema {
        Schema::of(Types::STRING)
    }

    /// A name: printable, without white space at its ends, this long.
    pub const fn name(min: usize, max: usize) -> Schema {
        Schema::string().len(min, max).format(Format::Name)
    }

    /// A UUID, with or without dashes.
    pub const fn uuid() -> Schema {
        Schema::string().format(Format::Uuid)
    }

    /// An integer. Texts are refused; see [`Schema::number_or_text`].
    pub const fn integer() -> Schema {
        Schema::of(Types::INTEGER)
    }

    /// A number with or without fraction.
    pub const fn number() -> Schema {
        Schema::of(Types::NUMBER)
    }

    /// An integer of 0 or more, also as a text of digits: Nova's usual number. Read it with
    /// [`super::integer`].
    pub const fn number_or_text() -> Schema {
        Schema { min_len: 1, ..Schema::of(Types::INTEGER | Types::STRING) }
            .pattern("^[0-9]*$")
            .min(0)
    }

    /// An integer, -1 included, also as a text: Nova's number where -1 means "no limit".
    pub const fn signed_or_text() -> Schema {
        Schema { min_len: 1, ..Schema::of(Types::INTEGER | Types::STRING) }
            .pattern("^-?[0-9]*$")
            .min(-1)
    }

    /// True or false, nothing else.
    pub const fn boolean() -> Schema {
        Schema::of(Types::BOOLEAN)
    }

    /// True, false, or one of Nova's words for them. Read it with [`super::boolean`].
    pub const fn boolean_or_text() -> Schema {
        Schema::of(Types::BOOLEAN | Types::STRING).literals(BOOLEANS)
    }

    /// Null and nothing else.
    pub const fn null() -> Schema {
        Schema::of(Types::NULL)
    }

    /// A list of such.
    pub const fn array(items: &'static Schema) -> Schema {
        Schema { items: Some(items), ..Schema::of(Types::ARRAY) }
    }

    /// An object with these properties and no others.
    pub const fn object(props: &'static [Prop]) -> Schema {
        Schema { props, additional: Additional::Refused, ..Schema::of(Types::OBJECT) }
    }

    /// An object whose names match the pattern and whose values match the schema: metadata.
    pub const fn map(names: &'static str, values: &'static Schema) -> Schema {
        Schema { additional: Additional::Matching(names, values), ..Schema::of(Types::OBJECT) }
    }

    /// One of several. Refused when none fits.
    pub const fn any_of(choices: &'static [Schema]) -> Schema {
        Schema { any_of: choices, ..ANY }
    }

    /// Its name, which Glance's messages say.
    pub const fn titled(self, title: &'static str) -> Schema {
        Schema { title, ..self }
    }

    /// One of these constants.
    pub const fn literals(self, literals: &'static [Literal]) -> Schema {
        Schema { literals, ..self }
    }

    /// How many characters, items or properties.
    pub const fn len(self, min: usize, max: usize) -> Schema {
        Schema { min_len: min, max_len: max, ..self }
    }

    /// At most so many characters, items or properties.
    pub const fn max_len(self, max: usize) -> Schema {
        Schema { max_len: max, ..self }
    }

    /// At least so many characters, items or properties.
    pub const fn min_len(self, min: usize) -> Schema {
        Schema { min_len: min, ..self }
    }

    /// The text matches this regular expression. It is searched for: anchor it.
    pub const fn pattern(self, pattern: &'static str) -> Schema {
        Schema { pattern: Some(pattern), ..self }
    }

    /// The text has this form.
    pub const fn format(self, format: Format) -> Schema {
        Schema { format: Some(format), ..self }
    }

    /// The number is at least this.
    pub const fn min(self, min: i64) -> Schema {
        Schema { min: Some(min), ..self }
    }

    /// The number is at most this.
    pub const fn max(self, max: i64) -> Schema {
        Schema { max: Some(max), ..self }
    }

    /// Null is taken too.
    pub const fn nullable(self) -> Schema {
        if self.types.0 == 0 {
            return self;
        }
        Schema { types: Types(self.types.0 | Types::NULL), ..self }
    }

    /// No item twice.
    pub const fn unique(self) -> Schema {
        Schema { unique: true, ..self }
    }

    /// Other names are taken as they are.
    pub const fn open(self) -> Schema {
        Schema { additional: Additional::Allowed, ..self }
    }

    /// Other names are taken as they are before this microversion.
    pub const fn open_until(self, version: Microversion) -> Schema {
        Schema { additional: Additional::AllowedUntil(version), ..self }
    }

    /// Other names are taken when they match the pattern and their values the schema.
    pub const fn others(self, names: &'static str, values: &'static Schema) -> Schema {
        Schema { additional: Additional::Matching(names, values), ..self }
    }
}

/// A property of an object, or a parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Prop {
    pub(super) name: &'static str,
    pub(super) schema: Schema,
    pub(super) required: bool,
    pub(super) single: bool,
    pub(super) since: Option<Microversion>,
    pub(super) until: Option<Microversion>,
}

/// A property: optional, in all microversions, until said otherwise.
pub const fn prop(name: &'static str, schema: Schema) -> Prop {
    Prop { name, schema, required: false, single: false, since: None, until: None }
}

impl Prop {
    /// It must be there.
    pub const fn required(self) -> Prop {
        Prop { required: true, ..self }
    }

    /// In a query: it may be there once only.
    pub const fn single(self) -> Prop {
        Prop { single: true, ..self }
    }

    /// It is known from this microversion on: `"2.19"`.
    pub const fn since(self, version: &'static str) -> Prop {
        Prop { since: Some(in_table(version)), ..self }
    }

    /// It is known up to this microversion.
    pub const fn until(self, version: &'static str) -> Prop {
        Prop { until: Some(in_table(version)), ..self }
    }

    pub(super) fn holds(&self, version: Microversion) -> bool {
        self.since.is_none_or(|since| version >= since)
            && self.until.is_none_or(|until| version <= until)
    }
}
