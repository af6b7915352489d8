//! Random transactions compared with the model: one by one, and from many writers at once.

use base::{Revision, World};
use bytes::Bytes;

use super::{
    Bench,
    model::{Model, sorted},
};
use crate::store::{Condition, Item, Key, Outcome, Transaction, Write};

const KEYS: u64 = 12;

fn random_key(bench: &Bench, dice: &World) -> Key {
    let group = ["a", "b", "b/", "c"][dice.below(4) as usize];
    bench.key(&format!("{group}{}", dice.below(KEYS / 4)))
}

/// Mostly conditions that hold by what was seen, so that both outcomes are common.
fn random_transaction(
    bench: &Bench,
    dice: &World,
    label: u64,
    seen: impl Fn(&str) -> Option<Item>,
) -> Transaction {
    let mut conditions = Vec::new();
    for _ in 0..dice.below(4) {
        let key = random_key(bench, dice);
        let off = u64::from(dice.below(10) == 0);
        conditions.push(match (seen(&key), dice.below(12)) {
            (_, 0) => Condition::Absent { key },
            (_, 1) => Condition::Unchanged { key, modified: Revision(dice.below(9)) },
            (_, 2) => {
                let groups = ["a", "b", "b/", "c", "d", ""];
                Condition::Empty { prefix: bench.key(groups[dice.below(6) as usize]) }
            }
            (None, 3..7) => Condition::Empty { prefix: key },
            (None, _) => Condition::Absent { key },
            (Some(item), 3..7) => Condition::Alive { key, created: Revision(item.created.0 + off) },
            (Some(item), _) => {
                Condition::Unchanged { key, modified: Revision(item.modified.0 - off) }
            }
        });
    }
    let mut writes: Vec<Write> = Vec::new();
    for _ in 0..=dice.below(5) {
        let key = random_key(bench, dice);
        if writes.iter().any(|write| *write.key() == key) {
            continue;
        }
        writes.push(if dice.below(3) == 0 {
            Write::Delete { key }
        } else {
            let value = format!("{label} ").repeat(dice.below(20) as usize);
            Write::Put { key, value: Bytes::from(value), lease: None }
        });
    }
    bench.transaction(conditions, writes)
}

pub async fn one_by_one(bench: Bench) {
    let dice = &bench.world;
    let mut model = Model::default();
    let start = bench.revision().await;
    let mut revision = start;
    let mut log = Vec::new();
    for n in 0..600 {
        let transaction = random_transaction(&bench, dice, n, |key| model.item(key).cloned());
        let answer = bench.ok(bench.store.commit(&transaction).await);
        let next = Revision(revision.0 + 1);
        let expected = match model.holds(&transaction.conditions) {
            false => Outcome::Conflict,
            true => match model.effect(next, &transaction) {
                Some(batch) => {
                    revision = next;
                    model.follow(&batch);
                    log.push(sorted(&batch));
                    Outcome::Done(next)
                }
                None => Outcome::Done(revision),
            },
        };
        assert_eq!(answer, expected, "transaction {n}: {transaction:?}");
        if n % 50 == 0 {
            let reading = bench.load("").await;
            assert_eq!((reading.revision, reading.items), (revision, model.items()));
        }
        let key = random_key(&bench, dice);
        let reading = bench.ok(bench.store.get(std::slice::from_ref(&key)).await);
        assert_eq!(reading.revision, revision);
        assert_eq!(reading.items[0].as_ref(), model.item(&key));
    }
    let mut watch = bench.watch(start).await;
    let told: Vec<_> =
        bench.batches(&mut watch, start, revision).await.iter().map(sorted).collect();
    assert_eq!(told, log, "the watch tells what was done");
}

/// What one writer asked and was told, and between which revisions it was.
struct Asked {
    transaction: Transaction,
    from: Revision,
    to: Revision,
    done: Option<Revision>,
}

/// Every transaction done is right at its revision, and every conflict is explained by some revision
/// between question and answer.
pub async fn all_at_once(bench: Bench) {
    let start = bench.revision().await;
    let asked: Vec<Asked> = bench
        .at_once(6, |bench, writer| {
            Box::pin(async move {
                let mut asked = Vec::new();
                let mut seen = base::Map::<String, Item>::new();
                for n in 0..60 {
                    let dice = &bench.world;
                    let label = writer * 1_000 + n;
                    if n % 3 == 0 {
                        let items = bench.load("").await.items;
                        seen = items.into_iter().map(|i| (i.key.to_string(), i)).collect();
                    }
                    let transaction =
                        random_transaction(&bench, dice, label, |key| seen.get(key).cloned());
                    bench.world.breathe().await;
                    let from = bench.revision().await;
                    bench.world.breathe().await;
                    let answer = bench.ok(bench.store.commit(&transaction).await);
                    let done = match answer {
                        Outcome::Done(revision) => Some(revision),
                        Outcome::Conflict => None,
                        Outcome::Unknown(why) => panic!("a calm store: unknown: {why}"),
                    };
                    bench.world.breathe().await;
                    let to = bench.revision().await;
                    asked.push(Asked { transaction, from, to, done });
                }
                asked
            })
        })
        .await
        .into_iter()
        .flatten()
        .collect();

    let end = bench.revision().await;
    let mut watch = bench.watch(start).await;
    // The state at each revision.
    let mut states = vec![Model::default()];
    let mut batches = Vec::new();
    for batch in bench.batches(&mut watch, start, end).await {
        let mut model = states[states.len() - 1].clone();
        model.follow(&batch);
        states.push(model);
        batches.push(sorted(&batch));
    }
    let at = |revision: Revision| &states[(revision.0 - start.0) as usize];
    let mut explained = base::Set::new();
    for Asked { transaction, from, to, done } in &asked {
        let within = from.0..=to.0;
        match done {
            None => assert!(
                within.into_iter().any(|r| !at(Revision(r)).holds(&transaction.conditions)),
                "a conflict that nothing explains between {from} and {to}: {transaction:?}"
            ),
            Some(revision) => {
                assert!(within.contains(&revision.0), "{revision} not in {within:?}");
                let made = *revision > start && !explained.contains(revision) && {
                    let before = at(Revision(revision.0 - 1));
                    let batch = before.effect(*revision, transaction).map(|batch| sorted(&batch));
                    before.holds(&transaction.conditions)
                        && batch.as_ref() == batches.get((revision.0 - start.0 - 1) as usize)
                };
                if made {
                    explained.insert(*revision);
                } else {
                    // It changed nothing: it must hold, and change nothing, as of that revision.
                    let model = at(*revision);
                    assert!(model.holds(&transaction.conditions), "{revision}: {transaction:?}");
                    assert_eq!(model.effect(*revision, transaction), None, "{transaction:?}");
                }
            }
        }
    }
    assert_eq!(explained.len() as u64, end.0 - start.0, "a revision that nobody made");
}
