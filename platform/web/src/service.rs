//! A service: a name, a prefix, its manners, and the cards of its rooms. The product mounts all of them on
//! one port.

use crate::{Card, Discovery, Envelope, MicroversionScheme};

/// One OpenStack API (or a part of one), ready to be mounted.
pub struct Service<C> {
    pub(crate) name: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) envelope: Envelope,
    pub(crate) context: C,
    pub(crate) microversions: Option<MicroversionScheme>,
    pub(crate) cards: Vec<Card<C>>,
    pub(crate) rules: Vec<(&'static str, &'static str)>,
    pub(crate) discovery: Option<Discovery>,
    pub(crate) project_in_path: bool,
    pub(crate) legacy: Option<&'static str>,
}

impl<C> Service<C> {
    /// A service without rooms. `prefix` starts with a slash and has none at its end: `/compute/v2.1`.
    pub fn new(
        name: &'static str,
        prefix: &'static str,
        envelope: Envelope,
        context: C,
    ) -> Service<C> {
        Service {
            name,
            prefix,
            envelope,
            context,
            microversions: None,
            cards: Vec::new(),
            rules: Vec::new(),
            discovery: None,
            project_in_path: false,
            legacy: None,
        }
    }

    /// It has microversions.
    #[must_use]
    pub fn microversions(mut self, scheme: MicroversionScheme) -> Self {
        self.microversions = Some(scheme);
        self
    }

    /// Adds a room's cards.
    #[must_use]
    pub fn room(mut self, cards: Vec<Card<C>>) -> Self {
        self.cards.extend(cards);
        self
    }

    /// Adds rules that other rules refer to: `("context_is_admin", "role:admin")`.
    #[must_use]
    pub fn rules(mut self, rules: &[(&'static str, &'static str)]) -> Self {
        self.rules.extend_from_slice(rules);
        self
    }

    /// Its version documents.
    #[must_use]
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = Some(discovery);
        self
    }

    /// Its paths may also start with the project's id, as Nova's before 2.18: `/v2.1/PROJECT/servers`.
    #[must_use]
    pub fn project_in_path(mut self) -> Self {
        self.project_in_path = true;
        self
    }

    /// The same is also served under this prefix, in the oldest microversion whatever is asked for: as
    /// Nova's v2.0.
    #[must_use]
    pub fn legacy(mut self, prefix: &'static str) -> Self {
        self.legacy = Some(prefix);
        self
    }

    /// All cards, for guards that walk them.
    pub fn cards(&self) -> &[Card<C>] {
        &self.cards
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its prefix.
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }
}
