//! A disk in memory that forgets what was not synced: the safe half. SQLite reaches it through `vfs.rs`.
//!
//! Each file has what the kernel shows (`cache`) and what the platters hold (`durable`). A write goes to
//! the cache; a sync moves it over. When the power is cut each unsynced write is kept, dropped or torn
//! at a sector, by the dice. A *failed* sync does the same at once, and forgets that they were unsynced:
//! the cache goes on to show what the platters do not have, as Linux does.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use state::backend::embedded::Files;

const SECTOR: usize = 512;

/// A small generator, so that one seed is one run.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing works from that operation on; [`Disk::cut`] decides what is left.
    PowerCut,
    /// The next sync fails, and the kernel forgets what it should have synced.
    Sync,
    /// The next write fails, half done.
    Write,
    /// The next write finds no room.
    Full,
}

/// Why something did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Dead,
    Read,
    Short,
    Write,
    Full,
    Sync,
    Missing,
}

#[derive(Clone)]
pub struct Disk(pub Arc<Mutex<State>>);

pub struct State {
    files: BTreeMap<String, Node>,
    /// Deleted without the directory being synced: may come back.
    ghosts: BTreeMap<String, Vec<u8>>,
    dice: Dice,
    /// Writes, truncations, syncs, makings and deletions so far.
    operations: u64,
    failures: Vec<(u64, Failure)>,
    /// So many syncs work, the next fails and the process is killed before it does anything more.
    good_syncs: Option<u64>,
    dead: bool,
    /// Which process: handles of an earlier one do nothing any more.
    pub life: u64,
}

#[derive(Default)]
struct Node {
    cache: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Its name is on the platters.
    named: bool,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Truncate(size) => bytes.resize(*size, 0),
            Change::Write(at, data) => {
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    /// What is left of it when it was never synced.
    fn survive(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        match (self, dice.below(3)) {
            (_, 0) => {}
            (Change::Write(at, data), 1) => {
                // Sectors are written whole or not at all, in any order.
                let mut start = 0;
                while start < data.len() {
                    let end = (start + SECTOR - (at + start) % SECTOR).min(data.len());
                    if dice.below(2) == 0 {
                        Change::Write(at + start, data[start..end].to_vec()).apply(bytes);
                    }
                    start = end;
                }
            }
            _ => self.apply(bytes),
        }
    }
}

impl Disk {
    pub fn new(seed: u64) -> Disk {
        Disk(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            dice: Dice::new(seed),
            operations: 0,
            failures: Vec::new(),
            good_syncs: None,
            dead: false,
            life: 0,
        })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    /// This failure, at the operation so many from now.
    pub fn fail(&self, after: u64, failure: Failure) {
        let mut state = self.state();
        let at = state.operations + after;
        state.failures.push((at, failure));
    }

    /// After so many syncs one fails, and the process is killed before it can do anything about it.
    pub fn die_of_a_sync_after(&self, count: u64) {
        self.state().good_syncs = Some(count);
    }

    pub fn dead(&self) -> bool {
        self.state().dead
    }

    /// The power comes back: only what is on the platters is there.
    pub fn cut(&self) {
        let mut state = self.state();
        let State { files, ghosts, dice, .. } = &mut *state;
        for node in files.values_mut() {
            for change in std::mem::take(&mut node.unsynced) {
                change.survive(&mut node.durable, dice);
            }
            node.cache.clone_from(&node.durable);
        }
        files.retain(|name, node| {
            let there = node.named || dice.below(2) == 0;
            node.named = true;
            if there {
                ghosts.remove(name);
            }
            there
        });
        for (name, bytes) in std::mem::take(ghosts) {
            if dice.below(2) == 0 {
                let node =
                    Node { cache: bytes.clone(), durable: bytes, unsynced: vec![], named: true };
                files.entry(name).or_insert(node);
            }
        }
        state.next_life();
    }

    /// The process ends, as by `kill -9`: the kernel keeps what it has.
    pub fn kill(&self) {
        self.state().next_life();
    }

    /// Throws everything away.
    pub fn forget(&self) {
        let mut state = self.state();
        state.files.clear();
        state.ghosts.clear();
    }

    /// How much was done so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the kernel shows something of this file that would not outlive a power cut.
    pub fn lies(&self, name: &str) -> bool {
        self.state().files.get(name).is_some_and(|node| node.cache != node.durable)
    }
}

impl State {
    fn next_life(&mut self) {
        self.dead = false;
        self.life += 1;
        self.failures.clear();
        self.good_syncs = None;
    }

    /// Counts an operation of a process, and whether it fails.
    fn operate(&mut self, life: u64, kinds: &[Failure]) -> Result<Option<Failure>, Broken> {
        self.check(life)?;
        self.operations += 1;
        let now = self.operations;
        if self.failures.iter().any(|(at, what)| *at <= now && *what == Failure::PowerCut) {
            self.dead = true;
            return Err(Broken::Dead);
        }
        let due = self.failures.iter().position(|(at, what)| *at <= now && kinds.contains(what));
        Ok(due.map(|found| self.failures.remove(found).1))
    }

    fn check(&self, life: u64) -> Result<(), Broken> {
        if self.dead || life != self.life { Err(Broken::Dead) } else { Ok(()) }
    }

    fn node(&mut self, name: &str) -> Result<&mut Node, Broken> {
        self.files.get_mut(name).ok_or(Broken::Missing)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub fn open(&mut self, life: u64, name: &str, create: bool) -> Result<(), Broken> {
        self.check(life)?;
        if !self.files.contains_key(name) {
            if !create {
                return Err(Broken::Missing);
            }
            self.operate(life, &[])?;
            self.files.insert(name.to_owned(), Node::default());
        }
        Ok(())
    }

    pub fn delete(&mut self, life: u64, name: &str, sync: bool) -> Result<(), Broken> {
        self.operate(life, &[])?;
        let node = self.files.remove(name).ok_or(Broken::Missing)?;
        if node.named && !sync {
            self.ghosts.insert(name.to_owned(), node.durable);
        }
        Ok(())
    }

    pub fn size(&mut self, life: u64, name: &str) -> Result<usize, Broken> {
        self.check(life)?;
        Ok(self.node(name)?.cache.len())
    }

    pub fn read(
        &mut self,
        life: u64,
        name: &str,
        at: usize,
        into: &mut [u8],
    ) -> Result<(), Broken> {
        self.check(life).map_err(|_| Broken::Read)?;
        into.fill(0);
        let cache = &self.node(name)?.cache;
        let there = cache.len().saturating_sub(at).min(into.len());
        if there > 0 {
            into[..there].copy_from_slice(&cache[at..at + there]);
        }
        if there < into.len() { Err(Broken::Short) } else { Ok(()) }
    }

    pub fn write(&mut self, life: u64, name: &str, at: usize, data: &[u8]) -> Result<(), Broken> {
        let (data, result) = match self.operate(life, &[Failure::Write, Failure::Full])? {
            Some(Failure::Full) => (&data[..0], Err(Broken::Full)),
            Some(_) => (&data[..data.len() / 2], Err(Broken::Write)),
            None => (data, Ok(())),
        };
        let change = Change::Write(at, data.to_vec());
        let node = self.node(name)?;
        change.apply(&mut node.cache);
        node.unsynced.push(change);
        result
    }

    pub fn truncate(&mut self, life: u64, name: &str, size: usize) -> Result<(), Broken> {
        self.operate(life, &[])?;
        let node = self.node(name)?;
        let change = Change::Truncate(size);
        change.apply(&mut node.cache);
        node.unsynced.push(change);
        Ok(())
    }

    pub fn sync(&mut self, life: u64, name: &str) -> Result<(), Broken> {
        let mut failure = self.operate(life, &[Failure::Sync])?;
        match &mut self.good_syncs {
            Some(0) => {
                failure = Some(Failure::Sync);
                self.dead = true;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let mut dice = self.dice.clone();
        let node = self.node(name)?;
        for change in std::mem::take(&mut node.unsynced) {
            match failure {
                Some(_) => change.survive(&mut node.durable, &mut dice),
                None => change.apply(&mut node.durable),
            }
        }
        self.dice = dice;
        if failure.is_some() {
            return Err(Broken::Sync);
        }
        // SQLite's own layer syncs the directory with the first sync of a journal that it made.
        if name.ends_with("-wal") || name.ends_with("-journal") {
            self.node(name)?.named = true;
            self.ghosts.remove(name);
        }
        Ok(())
    }
}

impl Files for Disk {
    fn rewrite(&self, path: &Path) -> io::Result<()> {
        let name = path.to_string_lossy();
        let mut state = self.state();
        let life = state.life;
        let Some(bytes) = state.files.get(&*name).map(|node| node.cache.clone()) else {
            return Ok(());
        };
        let failed = |broken: Broken| io::Error::other(format!("{broken:?}"));
        state.write(life, &name, 0, &bytes).map_err(failed)?;
        state.sync(life, &name).map_err(failed)
    }

    fn sync_name(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state();
        let life = state.life;
        // All files are in one directory.
        state.operate(life, &[]).map_err(|broken| io::Error::other(format!("{broken:?}")))?;
        state.ghosts.clear();
        for node in state.files.values_mut() {
            node.named = true;
        }
        Ok(())
    }
}
