//! The parser of the query, against what it must hold and against nonsense.

use base::Map;
use proptest::prelude::*;
use web::{Query, v};

use super::wanted::Wanted;

fn read(text: &str, minor: u16) -> Result<Wanted, String> {
    let query = Query::parse(text).map_err(|error| error.message().to_owned())?;
    Wanted::read(&query, v(1, minor)).map_err(|error| error.message().to_owned())
}

#[test]
fn groups() {
    let wanted = read(
        "resources=VCPU:1&resources_A=VGPU:2&required_A=CUSTOM_X,!CUSTOM_Y&resources_B=VGPU:1&limit=7\
         &group_policy=isolate&same_subtree=_A,_B&required_C=CUSTOM_Z&same_subtree=_C,_A",
        39,
    )
    .unwrap();
    assert_eq!(wanted.groups.keys().collect::<Vec<_>>(), ["", "_A", "_B", "_C"]);
    assert_eq!(wanted.groups["_A"].resources, Map::from([("VGPU".to_owned(), 2)]));
    assert!(wanted.groups["_A"].traits.forbidden.contains("CUSTOM_Y"));
    assert!(wanted.groups["_C"].resources.is_empty());
    assert_eq!((wanted.limit, wanted.isolate, wanted.subtrees.len()), (Some(7), true, 2));
}

#[test]
fn refusals() {
    for (text, minor, words) in [
        ("resources=VCPU:1&required=A,!A", 39, "Conflicting required and forbidden"),
        (
            "resources=VCPU:1&required=in:A,B&required=!A,!B",
            39,
            "Conflicting required and forbidden",
        ),
        ("resources=VCPU:1&root_required=A,!A", 39, "in root_required: A"),
        ("resources=VCPU:1&root_required=A&root_required=B", 39, "only once"),
        ("resources1=VCPU:1&resources2=VCPU:1", 39, "\"group_policy\" parameter is required"),
        ("resources1=VCPU:1&group_policy=some", 39, "'some' is not one of ['none', 'isolate']"),
        ("resources=VCPU:1&required_A=X", 39, "bad group(s) - ['_A']"),
        ("resources=VCPU:1&same_subtree=_A", 39, "['_A'] not found in ['']"),
        ("resources=VCPU:1&same_subtree=_A,", 39, "Empty string"),
        ("resources=VCPU:1&required1=X", 35, "orphaned traits keys: required1"),
        (
            "resources=VCPU:1&member_of1=7d2590ae-fb85-4080-9306-058b4c915e3f",
            35,
            "orphaned member_of keys: member_of1",
        ),
        ("resources=VCPU:1&required1=!X", 35, "must specify resources"),
        ("limit=1", 35, "At least one request group"),
        ("limit=1", 24, "'resources' is a required property"),
        ("resources=VCPU:1&limit=-1", 39, "does not match"),
        ("resources=VCPU:1&limit=1&limit=x", 39, "does not match"),
        ("resources@=VCPU:1", 39, "'resources@' does not match any of the regexes"),
        ("resources=VCPU:1&member_of=x", 20, "'member_of' was unexpected"),
    ] {
        let refused = read(text, minor).unwrap_err();
        assert!(refused.contains(words), "{text}: {refused}");
    }
    let long = format!("resources_{}=VCPU:1", "a".repeat(64));
    assert!(read(&long, 39).is_err());
}

proptest! {
    #[test]
    fn what_comes_through_makes_sense(
        text in "(((resources|required|member_of|in_tree)[A_01]{0,2}|limit|group_policy|same_subtree|\
                 root_required)=(VCPU:[0-9]|A|!A|in:A,B|none|isolate|_A|1|7d2590ae-fb85-4080-9306-\
                 058b4c915e3f|[^&]{0,6})&){1,6}",
        minor in 10..40_u16,
    ) {
        if let Ok(wanted) = read(&text, minor) {
            prop_assert!(wanted.groups.values().any(|group| !group.resources.is_empty()));
            prop_assert!(wanted.limit != Some(0));
            for (suffix, group) in &wanted.groups {
                prop_assert!(group.resources.values().all(|amount| *amount > 0));
                let names: Vec<&str> = group.traits.names().collect();
                prop_assert!(!names.iter().any(|name| name.is_empty() || name.starts_with('!')));
                prop_assert!(suffix.len() <= 64);
            }
            let all = wanted.subtrees.iter().flatten();
            prop_assert!(all.into_iter().all(|suffix| wanted.groups.contains_key(suffix)));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,80}", minor in 0..50_u16) {
        let _ = read(&text, minor);
    }
}
