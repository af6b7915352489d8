//! The cache against a source that behaves: slow, cut short, wrong, away.

use std::{
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base::{Error, Kind, Result, World};
use bytes::Bytes;
use orders::{ImageRef, ImageSource};
use sha2::{Digest, Sha512};

use super::{CacheLimits, ImageCache, inspect::tests::qcow2, lock};

#[derive(Default)]
struct Source {
    images: Mutex<Vec<(String, Vec<u8>)>>,
    asked: AtomicUsize,
    failures: AtomicUsize,
    wrong: AtomicUsize,
    away: bool,
}

#[async_trait]
impl ImageSource for Source {
    async fn fetch(&self, image: &ImageRef, range: Range<u64>) -> Result<Bytes> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if self.away {
            return Err(Error::unavailable("no controller can be reached"));
        }
        let one_less = |n: usize| n.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(Error::unavailable("cut off"));
        }
        let images = lock(&self.images);
        let Some((_, content)) = images.iter().find(|(id, _)| *id == image.id) else {
            return Err(Error::not_found("no such image"));
        };
        let range = range.start as usize..range.end as usize;
        // Less than asked for is allowed.
        let mut bytes = content[range.start..range.end.min(range.start + 700)].to_vec();
        if self.wrong.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            bytes[0] ^= 1;
        }
        Ok(bytes.into())
    }
}

struct Bench {
    directory: tempfile::TempDir,
    source: Arc<Source>,
    world: World,
    limits: CacheLimits,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            directory: tempfile::tempdir().expect("a directory"),
            source: Arc::default(),
            world: World::simulated(1),
            limits: CacheLimits {
                budget: 10_000,
                largest: 100_000,
                chunk: 1000,
                patience: Duration::from_secs(10),
            },
        }
    }

    fn add(&self, id: &str, content: &[u8], format: &str) -> ImageRef {
        lock(&self.source.images).push((id.to_owned(), content.to_vec()));
        let digest = Sha512::digest(content);
        ImageRef {
            id: id.to_owned(),
            size: content.len() as u64,
            sha512: digest.iter().map(|b| format!("{b:02x}")).collect(),
            disk_format: format.to_owned(),
            virtual_size: content.len() as u64,
        }
    }

    async fn open(&self) -> ImageCache {
        let path = self.directory.path().join("images");
        ImageCache::open(&self.world, &path, self.source.clone(), self.limits.clone())
            .await
            .expect("a cache")
    }

    fn asked(&self) -> usize {
        self.source.asked.load(Ordering::SeqCst)
    }

    fn files(&self) -> usize {
        fs::read_dir(self.directory.path().join("images")).expect("a directory").count()
    }
}

fn content(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|n| seed.wrapping_add((n * 7 % 251) as u8)).collect()
}

#[tokio::test(start_paused = true)]
async fn fetched_once_and_kept_read_only() {
    let bench = Bench::new();
    let bytes = content(1, 5000);
    let image = bench.add("a", &bytes, "raw");
    let cache = bench.open().await;
    let (one, two) = tokio::join!(cache.ensure(&image), cache.ensure(&image));
    let (one, two) = (one.expect("here"), two.expect("here"));
    assert_eq!(one.path, two.path);
    assert_eq!(fs::read(&one.path).expect("bytes"), bytes);
    assert_eq!(one.virtual_size, 5000);
    assert_eq!(fs::metadata(&one.path).expect("data").permissions().mode() & 0o777, 0o444);
    let asked = bench.asked();
    assert!(asked <= 9, "one fetch for both: {asked}");
    drop((one, two, cache));
    let cache = bench.open().await;
    cache.ensure(&image).await.expect("still here");
    assert_eq!(bench.asked(), asked, "not fetched again after a restart");
}

#[tokio::test(start_paused = true)]
async fn a_broken_fetch_goes_on_where_it_was() {
    let bench = Bench::new();
    let image = bench.add("a", &content(2, 3000), "raw");
    bench.source.failures.store(4, Ordering::SeqCst);
    bench.open().await.ensure(&image).await.expect("here in the end");
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_never_kept() {
    let bench = Bench::new();
    let image = bench.add("a", &content(3, 3000), "raw");
    bench.source.wrong.store(1, Ordering::SeqCst);
    let cache = bench.open().await;
    let error = cache.ensure(&image).await.err().expect("refused");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.message().contains("hashes to"), "{error}");
    assert_eq!(bench.files(), 0, "nothing is left");
    cache.ensure(&image).await.expect("the next fetch is right");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_or_has_it_not() {
    let mut bench = Bench::new();
    let image = bench.add("a", &content(4, 100), "raw");
    let missing = ImageRef { id: "b".into(), ..image.clone() };
    let error = bench.open().await.ensure(&missing).await.err().expect("refused");
    assert_eq!(error.kind(), Kind::BadRequest, "trying again cannot help: {error}");
    bench.source = Arc::new(Source { away: true, ..Source::default() });
    let began = bench.world.now();
    let error = bench.open().await.ensure(&image).await.err().expect("refused");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(bench.world.now().since(began) <= bench.limits.patience, "bounded");
    assert_eq!(bench.files(), 0);
}

#[tokio::test(start_paused = true)]
async fn hostile_and_over_large_images_are_refused() {
    let bench = Bench::new();
    let cache = bench.open().await;
    let mut backing = qcow2(1 << 20);
    backing[15] = 200;
    for (name, bytes, format) in [
        ("a backing file", backing.clone(), "qcow2"),
        ("not what it says", backing, "raw"),
        ("no header", content(1, 100), "qcow2"),
        ("too large", content(1, 100_001), "raw"),
    ] {
        let image = bench.add(name, &bytes, format);
        let error = cache.ensure(&image).await.err().expect(name);
        assert_eq!(error.kind(), Kind::BadRequest, "{name}: {error}");
    }
    let larger = qcow2(1 << 40);
    let image = ImageRef { virtual_size: 1 << 20, ..bench.add("lies", &larger, "qcow2") };
    assert!(cache.ensure(&image).await.err().expect("lies").message().contains("but says"));
    let path = ImageRef { sha512: "../../etc/passwd".into(), ..image };
    assert_eq!(cache.ensure(&path).await.err().expect("a path").kind(), Kind::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn the_longest_unused_goes_first_and_never_one_in_use() {
    let bench = Bench::new();
    let cache = bench.open().await;
    let images: Vec<_> =
        (0..4).map(|n| bench.add(&format!("i{n}"), &content(n, 3000), "raw")).collect();
    let held = cache.ensure(&images[0]).await.expect("here").hold;
    bench.world.sleep(Duration::from_secs(1)).await;
    cache.ensure(&images[1]).await.expect("here");
    bench.world.sleep(Duration::from_secs(1)).await;
    cache.ensure(&images[2]).await.expect("here");
    bench.world.sleep(Duration::from_secs(1)).await;
    cache.ensure(&images[1]).await.expect("used again");
    cache.ensure(&images[3]).await.expect("here");
    let here = |n: usize| bench.directory.path().join("images").join(&images[n].sha512).exists();
    assert_eq!([here(0), here(1), here(2), here(3)], [true, true, false, true]);
    assert_eq!(cache.bytes(), 9000);
    drop(held);
    let large = bench.add("large", &content(9, 9000), "raw");
    cache.ensure(&large).await.expect("here");
    assert_eq!([here(0), here(1), here(3)], [false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_with_the_last_who_waits() {
    let bench = Bench::new();
    let image = bench.add("a", &content(5, 9000), "raw");
    let cache = bench.open().await;
    let waiting = cache.clone();
    let wanted = image.clone();
    let task = bench.world.spawn("t", async move { waiting.ensure(&wanted).await.map(|_| ()) });
    while bench.asked() < 3 {
        tokio::task::yield_now().await;
    }
    task.abort();
    let _ = task.await;
    bench.world.sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.files(), 0, "what it wrote is deleted");
    cache.ensure(&image).await.expect("a new fetch");
}
