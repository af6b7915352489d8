//! The language, against oslo.policy's own meaning, and against nonsense.

use proptest::prelude::*;

use super::*;
use crate::actor::{DomainScope, ProjectScope};

fn member() -> Actor {
    Actor {
        user_id: "u1".into(),
        user_domain_id: "default".into(),
        project: Some(ProjectScope { id: "p1".into(), ..ProjectScope::default() }),
        roles: vec!["member".into(), "Reader".into()],
        ..Actor::default()
    }
}

fn admin() -> Actor {
    Actor {
        roles: vec!["admin".into(), "manager".into(), "member".into(), "reader".into()],
        is_admin: true,
        ..member()
    }
}

fn allows(rule: &str, actor: &Actor, target: &Target<'_>) -> bool {
    Rulebook::compile("test", [("x", rule)], &Overrides::default())
        .expect(rule)
        .allows("x", actor, target)
}

#[test]
fn means_what_oslo_means() {
    let own = Target::owned("p1", "u1");
    let other = Target::owned("p2", "u2");
    let member = member();
    for (rule, expect_own, expect_other) in [
        ("", true, true),
        ("@", true, true),
        ("!", false, false),
        ("role:member", true, true),
        ("role:MEMBER", true, true),
        ("role:reader", true, true),
        ("role:admin", false, false),
        ("project_id:%(project_id)s", true, false),
        ("tenant:%(tenant_id)s", true, false),
        ("user_id:%(user_id)s", true, false),
        ("role:admin or (role:member and project_id:%(project_id)s)", true, false),
        ("role:member and project_id:%(project_id)s or role:admin", true, false),
        ("role:admin and project_id:%(project_id)s or role:member", true, true),
        ("role:member or role:nobody and !", true, true),
        ("not role:admin", true, true),
        ("not not role:member", true, true),
        ("NOT role:member OR role:admin", false, false),
        ("not project_id:%(project_id)s", false, true),
        ("'p1':%(project_id)s", true, false),
        ("\"p1\":%(project_id)s", true, false),
        ("project_id:p1", true, true),
        ("project_id:%(missing)s", false, false),
        ("None:%(missing)s", true, true),
        ("None:%(project_id)s", false, false),
        ("domain_id:%(missing)s", false, false),
        ("is_admin:True", false, false),
        ("is_admin:False", true, true),
        ("system_scope:all", false, false),
        ("user_domain_id:default", true, true),
        ("((role:member))", true, true),
        ("True:%(project_id)s", false, false),
    ] {
        assert_eq!(allows(rule, &member, &own), expect_own, "{rule} own");
        assert_eq!(allows(rule, &member, &other), expect_other, "{rule} other");
    }
    assert!(allows("is_admin:True", &admin(), &other));
    let system = Actor { system: true, ..Actor::default() };
    assert!(allows("system_scope:all", &system, &other));
    let domain = Actor {
        domain: Some(DomainScope { id: "d".into(), name: "D".into() }),
        ..Actor::default()
    };
    assert!(allows(
        "domain_id:%(target.user.domain_id)s",
        &domain,
        &Target::new().with("target.user.domain_id", "d")
    ));
    assert!(!allows("project_id:%(project_id)s", &domain, &Target::new().with("project_id", "")));
}

#[test]
fn refuses_what_it_does_not_understand() {
    for bad in [
        "role",
        "role:",
        "(role:a",
        "role:a)",
        "role:a role:b",
        "role:a or",
        "and",
        "not",
        "()",
        "http://x/y:z",
        "colour:blue",
        "project_id:%(x",
        "project_id:%x",
        "'a",
        "'a'b",
        "or role:a",
        "role:a not role:b",
        "None:x",
    ] {
        let book = Rulebook::compile("test", [("x", bad)], &Overrides::default());
        assert!(book.is_err(), "{bad}");
    }
    let deep = format!("{}role:a{}", "(".repeat(5000), ")".repeat(5000));
    let error = Rulebook::compile("test", [("x", deep.as_str())], &Overrides::default());
    assert!(format!("{error:?}").contains("nests deeper"), "{error:?}");
}

#[test]
fn rules_refer_to_rules() {
    let book = Rulebook::compile(
        "test",
        [
            ("admin_or_owner", "rule:admin or project_id:%(project_id)s"),
            ("admin", "role:admin"),
            ("get", "rule:admin_or_owner"),
        ],
        &Overrides::default(),
    )
    .expect("book");
    assert!(book.allows("get", &member(), &Target::project("p1")));
    assert!(!book.allows("get", &member(), &Target::project("p2")));
    assert!(book.allows("get", &admin(), &Target::project("p2")));
    assert!(!book.allows("unknown", &admin(), &Target::new()));
    for circle in [
        vec![("a", "rule:a")],
        vec![("a", "rule:b"), ("b", "rule:a")],
        vec![("a", "role:x or rule:b"), ("b", "not rule:c"), ("c", "@ and rule:a")],
    ] {
        let error = Rulebook::compile("test", circle, &Overrides::default()).expect_err("circle");
        assert!(error.message().contains("refers to itself"), "{error}");
    }
    // A diamond is no circle.
    let diamond = [("a", "rule:b and rule:c"), ("b", "rule:d"), ("c", "rule:d"), ("d", "@")];
    assert!(Rulebook::compile("test", diamond, &Overrides::default()).is_ok());
    let chain: Vec<_> = (0..5000).map(|n| (format!("r{n}"), format!("rule:r{}", n + 1))).collect();
    let chain = chain.iter().map(|(name, rule)| (name.as_str(), rule.as_str()));
    let error = Rulebook::compile("test", chain.chain([("r5000", "@")]), &Overrides::default());
    assert!(error.expect_err("chain").message().contains("too long a chain"));
    let error = Rulebook::compile("test", [("a", "rule:nope")], &Overrides::default());
    assert!(error.expect_err("unknown").message().contains("rule:nope"));
}

#[test]
fn files_override_and_nothing_else() {
    let yaml = "# remark\n---\n\"get\": \"role:reader\"   # why\nset: role:member and user_id:%(user_id)s\n\
                'none': '!'\n";
    let overrides = Overrides::parse(yaml).expect("yaml");
    assert_eq!(
        overrides,
        Overrides::parse(
            r#"{"get": "role:reader", "set": "role:member and user_id:%(user_id)s", "none": "!"}"#
        )
        .expect("json")
    );
    let defaults = [("get", "role:admin"), ("set", "role:admin"), ("none", "@")];
    let book = Rulebook::compile("test", defaults, &overrides).expect("book");
    assert!(book.allows("get", &member(), &Target::new()));
    assert!(!book.allows("none", &admin(), &Target::new()));
    let unknown = Overrides::default().with("gte", "@");
    let error = Rulebook::compile("test", defaults, &unknown).expect_err("unknown name");
    assert!(error.message().contains("gte"), "{error}");
    for bad in [
        "get",
        "get:role:x",
        "  get: x",
        "get: [a]",
        "get: \"x",
        "get: \"x\" y",
        "get:",
        "get: !",
        "a: b\na: c",
        "{\"a\": 1}",
        "{",
        "- a: b",
        "get: |",
        "\"get\" \"x\"",
    ] {
        assert!(Overrides::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn two_defaults_for_one_name_must_agree() {
    assert!(Rulebook::compile("t", [("a", "@"), ("a", "@")], &Overrides::default()).is_ok());
    assert!(Rulebook::compile("t", [("a", "@"), ("a", "!")], &Overrides::default()).is_err());
}

fn expression() -> impl Strategy<Value = (String, bool)> {
    // An expression of constants together with what it must be.
    let leaf = prop_oneof![Just(("@".to_owned(), true)), Just(("!".to_owned(), false))];
    leaf.prop_recursive(6, 64, 4, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|((a, x), (b, y))| (format!("({a}) and ({b})"), x && y)),
            (inner.clone(), inner.clone())
                .prop_map(|((a, x), (b, y))| (format!("({a}) or ({b})"), x || y)),
            inner.prop_map(|(a, x)| (format!("not ({a})"), !x)),
        ]
    })
}

proptest! {
    #[test]
    fn evaluates_as_logic((text, value) in expression()) {
        prop_assert_eq!(allows(&text, &member(), &Target::new()), value, "{}", text);
    }

    #[test]
    fn never_panics(text in "[ a-z():%'\"@!\\\\sorandt]{0,80}") {
        if let Ok(book) = Rulebook::compile("t", [("x", text.as_str())], &Overrides::default()) {
            book.allows("x", &member(), &Target::project("p1"));
        }
    }

    #[test]
    fn never_panics_on_anything(text in "\\PC{0,200}") {
        let _ = parse::parse(&text);
        let _ = Overrides::parse(&text);
    }

    #[test]
    fn precedence(a: bool, b: bool, c: bool) {
        let t = |x: bool| if x { "@" } else { "!" };
        let text = format!("{} or {} and not {}", t(a), t(b), t(c));
        prop_assert_eq!(allows(&text, &member(), &Target::new()), a || b && !c);
        let text = format!("{} and {} or {}", t(a), t(b), t(c));
        prop_assert_eq!(allows(&text, &member(), &Target::new()), a && b || c);
    }
}
