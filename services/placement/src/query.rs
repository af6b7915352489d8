//! The little languages inside query parameters: amounts of resources, traits, aggregates, trees. Pure.

use base::{Error, Map, Result, Set};
use web::{Microversion, Query, v};

use crate::manners::dashed;

/// Wanted traits: every group must be met, by any of its traits.
pub(crate) type Required = Vec<Set<String>>;

/// What a provider must have of traits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Each of these groups is met by one trait at least.
    pub(crate) required: Required,
    /// None of these.
    pub(crate) forbidden: Set<String>,
}

impl Traits {
    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.required.iter().flatten().chain(&self.forbidden).map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.required.is_empty() && self.forbidden.is_empty()
    }
}

/// What a provider must be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// In one of each of these groups.
    pub(crate) of: Vec<Set<String>>,
    /// In none of these.
    pub(crate) not_of: Set<String>,
}

impl Member {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty() && self.not_of.is_empty()
    }
}

/// `VCPU:2,MEMORY_MB:1024`
pub(crate) fn resources(text: &str) -> Result<Map<String, u64>> {
    const FORM: &str = "Badly formed resources parameter. Expected resources query string parameter \
                        in form: ?resources=VCPU:2,MEMORY_MB:1024. Got:";
    if text.trim().is_empty() {
        return Err(Error::bad_request(format!("{FORM} empty string.")));
    }
    let mut amounts = Map::new();
    for part in text.split(',') {
        let pair = part.split_once(':').filter(|(_, amount)| !amount.contains(':'));
        let Some((class, amount)) = pair else {
            return Err(Error::bad_request(format!("{FORM} {part}.")));
        };
        let Ok(number) = amount.trim().parse::<i128>() else {
            return Err(Error::bad_request(format!(
                "Requested resource {class} expected positive integer amount. Got: {amount}."
            )));
        };
        if number < 1 {
            return Err(Error::bad_request(format!(
                "Requested resource {class} requires amount >= 1. Got: {number}."
            )));
        }
        // What is larger than any number fits nowhere either.
        amounts.insert(class.to_owned(), u64::try_from(number).unwrap_or(u64::MAX));
    }
    Ok(amounts)
}

/// All values of `required` with this suffix.
pub(crate) fn traits(query: &Query, suffix: &str, version: Microversion) -> Result<Traits> {
    let name = format!("required{suffix}");
    let mut values: Vec<&str> = query.all(&name).collect();
    // Before, the last one counted.
    if version < v(1, 39) {
        values.drain(..values.len().saturating_sub(1));
    }
    let mut traits = Traits::default();
    for value in values {
        let more = trait_list(value, version >= v(1, 22), version >= v(1, 39))?;
        traits.required.extend(more.required);
        traits.forbidden.extend(more.forbidden);
    }
    Ok(traits)
}

/// `HW_A,!HW_B` or `in:HW_A,HW_B`
pub(crate) fn trait_list(text: &str, forbidden: bool, any: bool) -> Result<Traits> {
    let wrong = |why: String| Error::bad_request(format!("Invalid query string parameters: {why}"));
    if let Some(list) = text.strip_prefix("in:") {
        if !any {
            return Err(wrong(format!(
                "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. \
                 Got: {text}"
            )));
        }
        let names: Set<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
        if names.contains("") {
            return Err(wrong(format!(
                "Expected 'required' parameter value of the form: in:HW_CPU_X86_VMX,CUSTOM_MAGIC. \
                 Got an empty trait in: {text}"
            )));
        }
        if names.iter().any(|name| name.starts_with('!')) {
            return Err(wrong(format!(
                "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' does not support forbidden traits. \
                 Got: {text}"
            )));
        }
        return Ok(Traits { required: vec![names], forbidden: Set::new() });
    }
    let mut traits = Traits::default();
    for name in text.split(',').map(str::trim) {
        let bare = name.trim_start_matches('!');
        if bare.is_empty() {
            let bang = if forbidden { "!" } else { "" };
            return Err(wrong(format!(
                "Expected 'required' parameter value of the form: \
                 HW_CPU_X86_VMX,{bang}CUSTOM_MAGIC. Got an empty trait in: {text}"
            )));
        }
        if bare == name {
            traits.required.push([bare.to_owned()].into());
        } else {
            traits.forbidden.insert(bare.to_owned());
        }
    }
    if !traits.forbidden.is_empty() && !forbidden {
        return Err(wrong(format!(
            "Expected 'required' parameter value of the form: HW_CPU_X86_VMX,CUSTOM_MAGIC. \
             Got: {text}"
        )));
    }
    Ok(traits)
}

/// All values of `member_of` with this suffix.
pub(crate) fn members(query: &Query, suffix: &str, version: Microversion) -> Result<Member> {
    let name = format!("member_of{suffix}");
    if version < v(1, 24) && query.all(&name).count() > 1 {
        return Err(Error::bad_request(format!("Multiple {name} parameters are not supported")));
    }
    let mut member = Member::default();
    for value in query.all(&name) {
        let one = member_list(value)?;
        if !one.not_of.is_empty() && version < v(1, 32) {
            return Err(Error::bad_request(format!(
                "Forbidden {name} parameters are not supported in the specified microversion"
            )));
        }
        member.of.extend(one.of);
        member.not_of.extend(one.not_of);
    }
    Ok(member)
}

/// `UUID`, `in:UUID,UUID`, `!UUID` or `!in:UUID,UUID`
fn member_list(text: &str) -> Result<Member> {
    if text.contains(',') && !text.starts_with("in:") && !text.starts_with("!in:") {
        return Err(Error::bad_request(format!(
            "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using \
             the valid microversion. Got: {text}"
        )));
    }
    let (list, not) = match text.strip_prefix('!') {
        Some(rest) => (rest.strip_prefix("in:").unwrap_or(rest), true),
        None => (text.strip_prefix("in:").unwrap_or(text), false),
    };
    let mut ids = Set::new();
    for id in list.split(',') {
        let Some(id) = dashed(id) else {
            return Err(Error::bad_request(format!(
                "Invalid query string parameters: Expected 'member_of' parameter to contain valid \
                 UUID(s). Got: {id}"
            )));
        };
        ids.insert(id);
    }
    Ok(match not {
        true => Member { of: Vec::new(), not_of: ids },
        false => Member { of: vec![ids], not_of: Set::new() },
    })
}

/// A provider in whose tree all is to be.
pub(crate) fn in_tree(text: &str) -> Result<String> {
    dashed(text.trim()).ok_or_else(|| {
        Error::bad_request(format!(
            "Invalid query string parameters: Expected 'in_tree' parameter to be a format of uuid. \
             Got: {text}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(names: &[&str]) -> Set<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn amounts() {
        let two = Map::from([("VCPU".to_owned(), 2), ("MEMORY_MB".to_owned(), 1024)]);
        assert_eq!(resources("VCPU:2,MEMORY_MB:1024").ok(), Some(two));
        for bad in
            ["", " ", "VCPU", "VCPU:", "VCPU:x", "VCPU:0", "VCPU:-1", "VCPU:1,", "A:1:2", "A:1.5"]
        {
            assert!(resources(bad).is_err(), "{bad:?}");
        }
        let huge = resources("VCPU:99999999999999999999999").unwrap();
        assert_eq!(huge["VCPU"], u64::MAX);
    }

    #[test]
    fn wanted_traits() {
        let read = |text: &str| {
            let query = Query::parse(text).unwrap();
            traits(&query, "", v(1, 39))
        };
        assert_eq!(
            read("required=in:T3,T4&required=T1,!T2").ok(),
            Some(Traits {
                required: vec![set(&["T3", "T4"]), set(&["T1"])],
                forbidden: set(&["T2"])
            })
        );
        for bad in ["required=", "required=A,,B", "required=!", "required=in:", "required=in:A,!B"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(trait_list("!!!A", true, false).unwrap().forbidden, set(&["A"]));
        assert!(trait_list("!A", false, false).is_err());
        assert!(trait_list("in:A", true, false).is_err());
        let old = Query::parse("required=A&required=B").unwrap();
        assert_eq!(traits(&old, "", v(1, 38)).unwrap().required, vec![set(&["B"])]);
    }

    #[test]
    fn aggregates() {
        let (a, b) =
            ("7d2590ae-fb85-4080-9306-058b4c915e3f", "8d2590ae-fb85-4080-9306-058b4c915e3f");
        let read = |text: String, version| members(&Query::parse(&text).unwrap(), "", version);
        let both =
            read(format!("member_of=in:{a},{b}&member_of={a}&member_of=!{b}"), v(1, 32)).unwrap();
        assert_eq!(both.of, vec![set(&[a, b]), set(&[a])]);
        assert_eq!(both.not_of, set(&[b]));
        assert_eq!(read(format!("member_of=!in:{a},{b}"), v(1, 32)).unwrap().not_of, set(&[a, b]));
        assert!(read(format!("member_of=!{b}"), v(1, 31)).is_err());
        assert!(read(format!("member_of={a}&member_of={b}"), v(1, 23)).is_err());
        assert!(read(format!("member_of={a},{b}"), v(1, 39)).is_err());
        assert!(read(format!("member_of=in:{a},!{b}"), v(1, 39)).is_err());
        assert!(read("member_of=in:".to_owned(), v(1, 39)).is_err());
        assert!(in_tree(&format!(" {a} ")).is_ok() && in_tree("x").is_err());
    }

    proptest! {
        #[test]
        fn amounts_come_back(amounts in prop::collection::btree_map("[A-Z_]{1,9}", 1..u64::MAX, 1..6)) {
            let parts: Vec<String> = amounts.iter().map(|(k, n)| format!("{k}:{n}")).collect();
            prop_assert_eq!(resources(&parts.join(",")).ok(), Some(amounts));
        }

        #[test]
        fn nothing_panics_and_nothing_empty_comes_through(text in "[A-Z!,:in0-9 é-]{0,40}") {
            if let Ok(amounts) = resources(&text) {
                prop_assert!(!amounts.is_empty() && amounts.values().all(|n| *n > 0));
            }
            if let Ok(traits) = trait_list(&text, true, true) {
                prop_assert!(traits.names().all(|name| !name.is_empty() && !name.starts_with('!')));
                prop_assert!(!traits.is_empty());
            }
            if let Ok(member) = member_list(&text) {
                prop_assert!(!member.is_empty());
            }
            let _ = in_tree(&text);
        }
    }
}
