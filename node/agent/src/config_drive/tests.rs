//! The writer against a reader of its own; real guests read it in `tests/real_qemu/`.

use base::Map;
use bytes::Bytes;
use orders::ConfigDrive;
use proptest::prelude::*;

use super::{build, reader::read};

fn drive(files: &[(&str, &[u8])]) -> ConfigDrive {
    let files = files
        .iter()
        .map(|(path, content)| ((*path).to_owned(), Bytes::copy_from_slice(content)))
        .collect();
    ConfigDrive { files }
}

#[test]
fn what_is_written_is_read() {
    let large = vec![7_u8; 5000];
    let drive = drive(&[
        ("openstack/latest/meta_data.json", b"{\"hostname\": \"vm\"}"),
        ("openstack/latest/user_data", &large),
        ("openstack/2018-08-27/meta_data.json", b"{}"),
        ("openstack/content/0000", b""),
        ("ec2/latest/meta-data.json", b"{}"),
    ]);
    let found = read(&build(&drive).expect("an image"));
    assert_eq!(found.label, "config-2");
    let wanted: Map<String, Vec<u8>> =
        drive.files.iter().map(|(path, content)| (path.clone(), content.to_vec())).collect();
    assert_eq!(found.rock_ridge, wanted);
    assert_eq!(found.joliet, wanted);
    assert_eq!(found.plain.len(), wanted.len());
}

#[test]
fn the_label_is_where_guests_look_for_it() {
    let image = build(&drive(&[("a", b"b")])).expect("an image");
    assert_eq!(&image[32808..32816], b"config-2");
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let drive = drive(&[("a/b", b"1"), ("a/c", b"2")]);
    assert_eq!(build(&drive).expect("an image"), build(&drive).expect("an image"));
}

#[test]
fn many_files_fill_several_sectors() {
    let names =
        (0..300).map(|n| format!("content/file-with-a-long-name-{n:04}")).collect::<Vec<_>>();
    let files = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect::<Vec<_>>();
    let drive = drive(&files);
    let found = read(&build(&drive).expect("an image"));
    assert_eq!(found.rock_ridge.len(), 300);
    assert_eq!(found.joliet, found.rock_ridge);
    assert_eq!(found.plain.len(), 300, "short names are unique");
}

#[test]
fn an_empty_drive_is_an_image_too() {
    let found = read(&build(&ConfigDrive::default()).expect("an image"));
    assert!(found.rock_ridge.is_empty());
}

#[test]
fn what_cannot_be_held_is_refused() {
    for bad in
        ["", "/a", "a/", "a//b", "../a", "a/./b", "ä", "a b", &"x".repeat(65), "a/b/c/d/e/f/g/h/i"]
    {
        let error = build(&drive(&[(bad, b"")])).expect_err(bad);
        assert_eq!(error.kind(), base::Kind::BadRequest, "{bad}");
    }
    assert!(build(&drive(&[("a", b""), ("a/b", b"")])).is_err(), "a file and a directory");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_tree_survives(
        files in proptest::collection::btree_map(
            proptest::collection::vec("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}", 1..6)
                .prop_map(|parts| parts.join("/")),
            proptest::collection::vec(any::<u8>(), 0..5000),
            0..40,
        )
    ) {
        let drive = ConfigDrive {
            files: files.iter().map(|(p, c)| (p.clone(), Bytes::from(c.clone()))).collect(),
        };
        // A name may be a file and a directory at once: that is refused, nothing else.
        let clash = files.keys().any(|a| files.keys().any(|b| b.starts_with(&format!("{a}/"))));
        match build(&drive) {
            Ok(image) => {
                let found = read(&image);
                prop_assert_eq!(&found.rock_ridge, &files);
                prop_assert_eq!(&found.joliet, &files);
                prop_assert_eq!(found.plain.len(), files.len());
            }
            Err(_) => prop_assert!(clash),
        }
    }
}
