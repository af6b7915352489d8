//! One transaction after the other: conditions, writes, revisions.

use base::Revision;

use super::{Bench, text};
use crate::store::{Condition, Outcome, Write};

pub async fn put_get_delete(bench: Bench) {
    let first = bench.put("a", "1").await;
    // A write is visible to a get at once.
    let reading = bench.get(&["b", "a", "a"]).await;
    assert!(reading.revision >= first);
    assert_eq!(reading.items.len(), 3);
    assert_eq!(reading.items[0], None);
    assert_eq!(reading.items[1], reading.items[2]);
    let Some(item) = reading.items[1].clone() else { panic!("the key is not there") };
    assert_eq!((item.created, item.modified, item.lease), (first, first, None));
    assert_eq!((&*item.key, text(&item).as_str()), (&*bench.key("a"), "1"));

    let second = bench.put("a", "").await;
    assert!(second > first);
    let Some(item) = bench.item("a").await else { panic!("the key is not there") };
    assert_eq!((item.created, item.modified, text(&item).as_str()), (first, second, ""));

    let third = bench.delete("a").await;
    assert!(third > second);
    assert_eq!(bench.item("a").await, None);
    let fourth = bench.put("a", "again").await;
    let Some(item) = bench.item("a").await else { panic!("the key is not there") };
    assert_eq!((item.created, item.modified), (fourth, fourth));

    for name in ["c/2", "c/1", "c", "c0", "d"] {
        bench.put(name, name).await;
    }
    let reading = bench.load("c/").await;
    assert_eq!(reading.items.iter().map(text).collect::<Vec<_>>(), ["c/1", "c/2"]);
    let reading = bench.load("c").await;
    assert_eq!(reading.items.iter().map(text).collect::<Vec<_>>(), ["c", "c/1", "c/2", "c0"]);
    assert_eq!(reading.revision, bench.revision().await);
    assert!(bench.load("nothing/").await.items.is_empty());
}

pub async fn unchanged(bench: Bench) {
    let write = || vec![bench.write("witness", "x")];
    bench.conflicts(vec![bench.unchanged("a", Revision(0))], write()).await;
    bench.conflicts(vec![bench.unchanged("a", Revision(1))], write()).await;
    let first = bench.put("a", "1").await;
    bench.done(vec![bench.unchanged("a", first)], write()).await;
    let second = bench.done(vec![bench.unchanged("a", first)], vec![bench.write("a", "2")]).await;
    bench.conflicts(vec![bench.unchanged("a", first)], write()).await;
    bench.conflicts(vec![bench.unchanged("a", Revision(second.0 + 1))], write()).await;
    bench.done(vec![bench.unchanged("a", second)], write()).await;
    bench.delete("a").await;
    bench.conflicts(vec![bench.unchanged("a", second)], write()).await;
    bench.conflicts(vec![bench.unchanged("a", Revision(0))], write()).await;
}

pub async fn alive(bench: Bench) {
    let write = || vec![bench.write("witness", "x")];
    bench.conflicts(vec![bench.alive("a", Revision(0))], write()).await;
    let created = bench.put("a", "1").await;
    let modified = bench.put("a", "2").await;
    bench.done(vec![bench.alive("a", created)], write()).await;
    bench.conflicts(vec![bench.alive("a", modified)], write()).await;
    bench.delete("a").await;
    bench.conflicts(vec![bench.alive("a", created)], write()).await;
    let remade = bench.put("a", "3").await;
    bench.conflicts(vec![bench.alive("a", created)], write()).await;
    bench.done(vec![bench.alive("a", remade)], write()).await;
    // Deleted and made again by one key's two transactions in a row, many times.
    for _ in 0..5 {
        bench.delete("a").await;
        bench.put("a", "4").await;
    }
    bench.conflicts(vec![bench.alive("a", remade)], write()).await;
}

pub async fn absent(bench: Bench) {
    let first = bench.done(vec![bench.absent("a")], vec![bench.write("a", "1")]).await;
    bench.conflicts(vec![bench.absent("a")], vec![bench.write("a", "2")]).await;
    bench.done(vec![bench.absent("b"), bench.unchanged("a", first)], vec![bench.erase("a")]).await;
    bench.done(vec![bench.absent("a")], vec![bench.write("a", "3")]).await;
    // A longer key with the same beginning is another key.
    bench.put("c/d", "x").await;
    bench.done(vec![bench.absent("c"), bench.absent("c/")], vec![bench.write("b", "x")]).await;
}

pub async fn empty(bench: Bench) {
    let write = || vec![bench.write("witness", "x")];
    bench.done(vec![bench.empty("a/")], write()).await;
    for neighbour in ["a", "a.", "a0", "a!", "b/"] {
        bench.put(neighbour, "x").await;
        bench.done(vec![bench.empty("a/")], write()).await;
    }
    bench.put("a/", "the prefix itself").await;
    bench.conflicts(vec![bench.empty("a/")], write()).await;
    bench.done(vec![], vec![bench.erase("a/"), bench.write("a/~~", "x")]).await;
    bench.conflicts(vec![bench.empty("a/")], write()).await;
    bench.conflicts(vec![bench.empty("")], write()).await;
    bench.put("a/~~", "changed").await;
    bench.conflicts(vec![bench.empty("a/")], write()).await;
    bench.delete("a/~~").await;
    bench.done(vec![bench.empty("a/")], write()).await;
    let everything = Condition::Empty { prefix: "".into() };
    bench.conflicts(vec![everything], write()).await;
}

pub async fn all_or_nothing(bench: Bench) {
    let first = bench.put("a", "1").await;
    bench.put("b", "1").await;
    let before = bench.revision().await;
    for broken in [
        bench.absent("a"),
        bench.empty("a"),
        bench.unchanged("a", Revision(first.0 + 1)),
        bench.alive("c", first),
    ] {
        for at in 0..3 {
            let mut conditions =
                vec![bench.absent("c"), bench.unchanged("a", first), bench.empty("x/")];
            conditions.insert(at, broken.clone());
            let writes = vec![bench.write("a", "2"), bench.erase("b"), bench.write("c", "2")];
            bench.conflicts(conditions, writes).await;
        }
    }
    assert_eq!(bench.revision().await, before, "a conflict makes no revision");
    let reading = bench.get(&["a", "b", "c"]).await;
    let texts: Vec<_> = reading.items.iter().map(|item| item.as_ref().map(text)).collect();
    assert_eq!(texts, [Some("1".into()), Some("1".into()), None]);
}

pub async fn one_revision(bench: Bench) {
    let before = bench.revision().await;
    let writes = (0..20).map(|n| bench.write(&format!("k{n:02}"), "x")).collect();
    let first = bench.done(vec![], writes).await;
    assert_eq!(first.0, before.0 + 1, "one commit, one revision");
    let reading = bench.load("k").await;
    assert_eq!((reading.revision, reading.items.len()), (first, 20));
    assert!(reading.items.iter().all(|i| i.created == first && i.modified == first));

    let writes = (0..20)
        .map(|n| {
            let name = format!("k{n:02}");
            if n % 2 == 0 { bench.write(&name, "y") } else { bench.erase(&name) }
        })
        .collect();
    let second = bench.done(vec![], writes).await;
    assert_eq!(second.0, first.0 + 1);
    let reading = bench.load("k").await;
    assert_eq!((reading.revision, reading.items.len()), (second, 10));
    assert!(reading.items.iter().all(|i| i.created == first && i.modified == second));
}

pub async fn no_change_no_revision(bench: Bench) {
    let first = bench.put("a", "1").await;
    let mut watch = bench.watch(first).await;
    let nothing = bench.done(vec![], vec![bench.erase("b"), bench.erase("c")]).await;
    assert_eq!(nothing, first, "deleting what is not there makes no revision");
    assert_eq!(bench.revision().await, first);
    bench.conflicts(vec![bench.absent("a")], vec![bench.erase("a")]).await;
    assert_eq!(bench.revision().await, first);
    // The same value again is a change.
    let again = bench.put("a", "1").await;
    assert_eq!(again.0, first.0 + 1);
    let half = bench.done(vec![], vec![bench.erase("b"), bench.erase("a")]).await;
    assert_eq!(half.0, again.0 + 1);
    let batches = bench.batches(&mut watch, first, half).await;
    assert_eq!(batches[1].changes.len(), 1, "only what was there is shown as deleted");
}

pub async fn conditions_see_the_state_before(bench: Bench) {
    let writes = vec![bench.write("p/a", "1"), bench.write("p/b", "1")];
    let first =
        bench.done(vec![bench.empty("p/"), bench.absent("p/a"), bench.absent("p/b")], writes).await;
    let writes = vec![bench.erase("p/a"), bench.write("p/b", "2")];
    let conditions = vec![
        bench.unchanged("p/a", first),
        bench.unchanged("p/b", first),
        bench.alive("p/b", first),
        // The same condition twice is fine.
        bench.alive("p/b", first),
    ];
    bench.done(conditions, writes).await;
    bench.conflicts(vec![bench.empty("p/")], vec![bench.erase("p/b")]).await;
    // Conditions on keys that are not written, and the other way round.
    let only = Write::Delete { key: bench.key("p/b") };
    let transaction = bench.transaction(vec![bench.absent("elsewhere")], vec![only]);
    let answer = bench.store.commit(&transaction).await;
    assert!(matches!(answer, Ok(Outcome::Done(_))), "{answer:?}");
}
