//! What every place for objects must do.

use std::io;

use super::{FileStore, MemoryStore, Store};

const NAME: &str = "0123456789abcdef";

fn both(test: impl Fn(&dyn Store)) {
    let directory = tempfile::tempdir().expect("directory");
    test(&FileStore::open(directory.path(), "here", "c/1").expect("store"));
    test(&MemoryStore::new("here"));
}

fn whole(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let object = store.open(name).expect("open")?;
    let mut bytes = vec![0; usize::try_from(object.length()).expect("small")];
    let mut at = 0;
    while at < bytes.len() {
        let read = object.read_at(at as u64, &mut bytes[at..]).expect("read");
        assert_ne!(read, 0, "shorter than its length");
        at += read;
    }
    Some(bytes)
}

#[test]
fn what_is_kept_can_be_read_and_deleted() {
    both(|store| {
        let mut draft = store.create(NAME).expect("create");
        draft.write(b"one ").expect("write");
        draft.write(b"two").expect("write");
        assert_eq!(whole(store, NAME), None, "seen before it is kept");
        draft.keep().expect("keep");
        assert_eq!(whole(store, NAME).as_deref(), Some(&b"one two"[..]));
        assert_eq!(store.list().expect("list"), [NAME]);
        let open = store.open(NAME).expect("open").expect("there");
        store.delete(NAME).expect("delete");
        store.delete(NAME).expect("twice is fine");
        assert_eq!(whole(store, NAME), None);
        let mut first = [0; 3];
        assert_eq!(open.read_at(0, &mut first).expect("still readable"), 3);
        assert_eq!(&first, b"one");
    });
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    both(|store| {
        let mut draft = store.create(NAME).expect("create");
        draft.write(b"half").expect("write");
        drop(draft);
        assert_eq!(store.list().expect("list"), Vec::<String>::new());
        store.create(NAME).expect("the name is free again");
    });
}

#[test]
fn names_that_are_paths_are_refused() {
    both(|store| {
        for name in ["", "../../etc/passwd", "a/b/c/d/e/f/g/h", "short", "..................."] {
            let refused = store.open(name).map(|_| ()).expect_err(name);
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name}");
            assert!(store.create(name).is_err() && store.delete(name).is_err(), "{name}");
        }
    });
}

#[test]
fn a_start_removes_what_a_crash_left_of_its_own_only() {
    let directory = tempfile::tempdir().expect("directory");
    let one = FileStore::open(directory.path(), "shared", "one").expect("store");
    let two = FileStore::open(directory.path(), "shared", "two").expect("store");
    let mut lost = one.create(NAME).expect("create");
    lost.write(b"half").expect("write");
    // As a crash does: nothing is cleaned up.
    std::mem::forget(lost);
    let mut living = two.create("fedcba9876543210").expect("create");
    living.write(b"whole").expect("write");
    let one = FileStore::open(directory.path(), "shared", "one").expect("again");
    one.create(NAME).expect("the name is free again");
    living.keep().expect("not touched by the other's start");
    assert_eq!(whole(&one, "fedcba9876543210").as_deref(), Some(&b"whole"[..]));
}

#[test]
fn a_full_place_says_so_and_takes_again_after_a_delete() {
    let store = MemoryStore::with_room("here", 10);
    let mut draft = store.create(NAME).expect("create");
    draft.write(&[0; 8]).expect("fits");
    assert_eq!(draft.write(&[0; 8]).expect_err("full").kind(), io::ErrorKind::StorageFull);
    drop(draft);
    let mut draft = store.create(NAME).expect("create");
    draft.write(&[0; 10]).expect("fits again");
    draft.keep().expect("keep");
    store.delete(NAME).expect("delete");
    store.create(NAME).expect("create").write(&[0; 10]).expect("fits again");
}
