//! Each kind of mistake and the sentence it gets.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Query, v};

const TAG: Schema = Schema::string().len(1, 60).pattern("^[^,/]*$");
const META: Schema = Schema::map("^[a-zA-Z0-9-_:. ]{1,255}$", &Schema::string().max_len(255));
const NETWORKS: Schema = Schema::any_of(&[
    Schema::array(&Schema::object(&[prop("uuid", Schema::uuid())])),
    Schema::string().literals(&[Literal::Text("none"), Literal::Text("auto")]),
]);
const SERVER: Schema = Schema::object(&[
    prop("name", Schema::name(1, 255)).required(),
    prop("flavorRef", Schema::number_or_text()),
    prop("max_count", Schema::number_or_text().min(1).max(100)),
    prop("config_drive", Schema::boolean_or_text()),
    prop("metadata", META),
    prop("networks", NETWORKS).since("2.37"),
    prop("networks", Schema::array(&Schema::any())).until("2.36"),
    prop("tags", Schema::array(&TAG).max_len(2).unique()).since("2.52"),
    prop("description", Schema::string().max_len(5).nullable()),
    prop(
        "disk_config",
        Schema::string().literals(&[Literal::Text("AUTO"), Literal::Text("MANUAL")]),
    ),
    prop("limit", Schema::integer().min(-1).max(10)),
]);
const CREATE: Schema = Schema::object(&[prop("server", SERVER).required()]).titled("server");

fn nova(body: Value) -> String {
    check(&CREATE, &body, v(2, 96), Style::Nova)
        .map_or_else(|e| e.message().to_owned(), |()| "ok".into())
}

#[test]
fn each_mistake_has_its_sentence() {
    let field = "Invalid input for field/attribute";
    for (body, expected) in [
        (json!({"server": {"name": "a"}}), "ok".to_owned()),
        (json!({}), "'server' is a required property".into()),
        (json!([]), "[] is not of type 'object'".into()),
        (json!({"server": {}}), format!("{field} server. Value: {{}}. 'name' is a required property")),
        (json!({"server": {"name": 5}}), format!("{field} name. Value: 5. 5 is not of type 'string'")),
        (json!({"server": {"name": null}}),
         format!("{field} name. Value: None. None is not of type 'string'")),
        (json!({"server": {"name": ""}}), format!("{field} name. Value: . '' should be non-empty")),
        (json!({"server": {"name": " a"}}),
         "An invalid 'name' value was provided. The name must be: printable characters. Can not start \
          or end with whitespace.".into()),
        (json!({"server": {"name": "a", "x": 1}}),
         format!("{field} server. Value: {{'name': 'a', 'x': 1}}. Additional properties are not allowed \
                  ('x' was unexpected)")),
        (json!({"server": {"name": "a", "z": 1, "x": 1}}),
         format!("{field} server. Value: {{'name': 'a', 'z': 1, 'x': 1}}. Additional properties are not \
                  allowed ('x', 'z' were unexpected)")),
        (json!({"server": {"name": "a"}, "x": 1}),
         "Additional properties are not allowed ('x' was unexpected)".into()),
        (json!({"server": {"name": "a", "flavorRef": "x1"}}),
         format!("{field} flavorRef. Value: x1. 'x1' does not match '^[0-9]*$'")),
        (json!({"server": {"name": "a", "flavorRef": null}}),
         format!("{field} flavorRef. Value: None. None is not of type 'integer', 'string'")),
        (json!({"server": {"name": "a", "flavorRef": true}}),
         format!("{field} flavorRef. Value: True. True is not of type 'integer', 'string'")),
        (json!({"server": {"name": "a", "flavorRef": 1.5}}),
         format!("{field} flavorRef. Value: 1.5. 1.5 is not of type 'integer', 'string'")),
        (json!({"server": {"name": "a", "max_count": 0}}),
         format!("{field} max_count. Value: 0. 0 is less than the minimum of 1")),
        (json!({"server": {"name": "a", "max_count": "0"}}),
         format!("{field} max_count. Value: 0. 0 is less than the minimum of 1")),
        (json!({"server": {"name": "a", "max_count": "99999999999999999999999999999999999999999"}}),
         format!("{field} max_count. Value: 99999999999999999999999999999999999999999. \
                  99999999999999999999999999999999999999999 is greater than the maximum of 100")),
        (json!({"server": {"name": "a", "max_count": u64::MAX}}),
         format!("{field} max_count. Value: 18446744073709551615. 18446744073709551615 is greater than \
                  the maximum of 100")),
        (json!({"server": {"name": "a", "config_drive": "maybe"}}),
         format!("{field} config_drive. Value: maybe. 'maybe' is not one of [True, 'True', 'TRUE', \
                  'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', False, 'False', 'FALSE', \
                  'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no']")),
        (json!({"server": {"name": "a", "metadata": {"k/y": "v"}}}),
         format!("{field} metadata. Value: {{'k/y': 'v'}}. 'k/y' does not match any of the regexes: \
                  '^[a-zA-Z0-9-_:. ]{{1,255}}$'")),
        (json!({"server": {"name": "a", "metadata": {"k": 1}}}),
         format!("{field} k. Value: 1. 1 is not of type 'string'")),
        (json!({"server": {"name": "a", "networks": "some"}}),
         format!("{field} networks. Value: some. 'some' is not valid under any of the given schemas")),
        (json!({"server": {"name": "a", "networks": "none"}}), "ok".into()),
        (json!({"server": {"name": "a", "tags": ["a", "a"]}}),
         format!("{field} tags. Value: ['a', 'a']. ['a', 'a'] has non-unique elements")),
        (json!({"server": {"name": "a", "tags": ["a", "b", "c"]}}),
         format!("{field} tags. Value: ['a', 'b', 'c']. ['a', 'b', 'c'] is too long")),
        (json!({"server": {"name": "a", "tags": ["a", "b,c"]}}),
         format!("{field} 1. Value: b,c. 'b,c' does not match '^[^,/]*$'")),
        (json!({"server": {"name": "a", "description": null}}), "ok".into()),
        (json!({"server": {"name": "a", "description": "äöüäö"}}), "ok".into()),
        (json!({"server": {"name": "a", "description": "äöüäöü"}}),
         format!("{field} description. Value: äöüäöü. 'äöüäöü' is too long")),
        (json!({"server": {"name": "a", "description": 1}}),
         format!("{field} description. Value: 1. 1 is not of type 'string', 'null'")),
        (json!({"server": {"name": "a", "disk_config": "auto"}}),
         format!("{field} disk_config. Value: auto. 'auto' is not one of ['AUTO', 'MANUAL']")),
        (json!({"server": {"name": "a", "limit": "1"}}),
         format!("{field} limit. Value: 1. '1' is not of type 'integer'")),
        (json!({"server": {"name": "a", "limit": -2}}),
         format!("{field} limit. Value: -2. -2 is less than the minimum of -1")),
    ] {
        assert_eq!(nova(body.clone()), expected, "{body}");
    }
}

#[test]
fn versions_choose_properties() {
    let at = |minor, body: Value| check(&CREATE, &body, v(2, minor), Style::Nova).is_ok();
    assert!(!at(51, json!({"server": {"name": "a", "tags": []}})));
    assert!(at(52, json!({"server": {"name": "a", "tags": []}})));
    assert!(at(36, json!({"server": {"name": "a", "networks": [{"x": 1}]}})));
    assert!(!at(37, json!({"server": {"name": "a", "networks": [{"x": 1}]}})));
    assert!(!at(36, json!({"server": {"name": "a", "networks": "none"}})));
}

#[test]
fn other_services_words() {
    let body = json!({"server": {"name": 5}});
    let say = |style| {
        let error = check(&CREATE, &body, v(2, 96), style).expect_err("wrong");
        error.message().to_owned()
    };
    assert_eq!(
        say(Style::Keystone),
        "Invalid input for field 'server/name': 5 is not of type 'string'"
    );
    assert_eq!(
        say(Style::Glance),
        "Provided object does not match schema 'server': 5 is not of type 'string'"
    );
    assert_eq!(say(Style::Placement), "JSON does not validate: 5 is not of type 'string'");
}

const LIST: Schema = Schema::object(&[
    prop("limit", Schema::number_or_text()).single(),
    prop("status", Schema::string()),
    prop("tags", Schema::string()).since("2.26"),
])
.open_until(v(2, 75));

#[test]
fn queries() {
    let at = |minor, text: &str| {
        let query = Query::parse(text).expect("query");
        check_query(&LIST, &query, v(2, minor), Style::Nova)
            .map_or_else(|e| e.message().to_owned(), |()| "ok".into())
    };
    let query = "Invalid input for query parameters";
    assert_eq!(at(96, "limit=5&status=A&status=B&tags=x"), "ok");
    assert_eq!(
        at(96, "limit=x"),
        format!("{query} limit. Value: x. 'x' does not match '^[0-9]*$'")
    );
    assert_eq!(at(96, "limit="), format!("{query} limit. Value: . '' should be non-empty"));
    assert_eq!(
        at(96, "limit=1&limit=2"),
        format!("{query} limit. Value: ['1', '2']. ['1', '2'] is too long")
    );
    assert_eq!(at(75, "x=1"), "Additional properties are not allowed ('x' was unexpected)");
    assert_eq!(at(74, "x=1"), "ok");
}

#[test]
fn words_for_booleans_and_numbers() {
    for word in ["true", "T", "1", "yes", "On", " y "] {
        assert_eq!(boolean(&json!(word)), Some(true), "{word}");
    }
    for word in ["false", "F", "0", "NO", "off", "n"] {
        assert_eq!(boolean(&json!(word)), Some(false), "{word}");
    }
    assert_eq!(boolean(&json!("maybe")), None);
    assert_eq!(boolean(&json!(1)), None);
    assert_eq!(integer(&json!("12")), Some(12));
    assert_eq!(integer(&json!(12)), Some(12));
    assert_eq!(integer(&json!("x")), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        ".{0,12}".prop_map(Value::from),
        "name|server|tags|metadata|networks|none".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("server|name|tags|metadata|limit|[a-z]{0,3}", inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(body in any_json()) {
        let _ = check(&CREATE, &body, v(2, 96), Style::Nova);
        let _ = check(&CREATE, &json!({"server": body}), v(2, 1), Style::Keystone);
    }
}
