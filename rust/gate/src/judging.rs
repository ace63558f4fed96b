//! The second pass: every path is judged, on all cores, and what is said of it kept only as far as somebody will read it.

use crate::check::{CheckError, Question, Stage};
use crate::explain::LeftOver;
use crate::records::Earlier;
use crate::verdict::Differs;
use crate::vouched::{Book, ListId, Since, Vouched};
use nixcert_core::{
    ChainCache, Earlier as EarlierVouchers, Gate, Member, Object, Recorded, Tally, Unvouched, Voucher, nix32,
};
use nixcert_store::{Closure, Entry, nar_hash, recompute};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How many paths are told of that nobody vouches for, and whose contents differ: more than anybody reads, in some 10 MB.
const TOLD: usize = 1_000;

/// Paths that are read and judged at once.
const CHUNK: usize = 256;

/// The same where their contents are read, which takes longer: so that all cores have some.
const CHUNK_WITH_CONTENTS: usize = 4;

/// What all threads share.
pub(crate) struct Judging<'a> {
    pub(crate) question: &'a Question<'a>,
    pub(crate) gate: &'a Gate,
    pub(crate) earlier: &'a Earlier,
    pub(crate) verify_contents: bool,
}

/// What the second pass found.
pub(crate) struct Judged {
    pub(crate) tally: Tally,
    pub(crate) left_over: Vec<(usize, LeftOver)>,
    pub(crate) differing: Vec<(usize, Differs)>,
    pub(crate) differing_count: usize,
    /// Who vouches for each path; none for those left over.
    pub(crate) since: Vec<Option<Since>>,
    pub(crate) book: Book,
}

/// Paths in order, and where the first of them stands.
type Chunk = (usize, Vec<Entry>);

/// What a thread found.
#[derive(Default)]
struct Share {
    tally: Tally,
    left_over: Vec<(usize, LeftOver)>,
    differing: Vec<(usize, Differs)>,
    differing_count: usize,
    since: Vec<(usize, Since)>,
}

impl Judging<'_> {
    /// Judge all paths. The database is read by this thread alone: it is one snapshot.
    pub(crate) fn run(&self, closure: &Closure<'_>, book: Book) -> Result<Judged, CheckError> {
        let recorded: Vec<Vec<Vouched>> = book.lists().to_vec();
        let recorded: Vec<Vec<Recorded<'_>>> =
            recorded.iter().map(|list| list.iter().map(Vouched::recorded).collect()).collect();
        let book = Mutex::new(book);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (give, take) = sync_channel::<Chunk>(threads);
        // Of the threads alone: when all have ended, nothing waits for them.
        let take = Arc::new(Mutex::new(take));
        let shares = thread::scope(|scope| {
            let (recorded, book) = (&recorded, &book);
            let worker = |take: Arc<_>| scope.spawn(move || self.work(&take, recorded, book));
            let workers: Vec<_> = (0..threads).map(|_| worker(Arc::clone(&take))).collect();
            drop(take);
            let read = self.read(closure, give);
            let shares: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            read.map(|()| shares)
        })?;
        let mut judged = Judged {
            tally: Tally::default(),
            left_over: Vec::new(),
            differing: Vec::new(),
            differing_count: 0,
            since: vec![None; closure.len()],
            book: book.into_inner().unwrap_or_else(PoisonError::into_inner),
        };
        for share in shares {
            let share = share.map_err(|_| CheckError::Defect)??;
            judged.add(share);
        }
        judged.left_over.sort_by_key(|(position, _)| *position);
        judged.left_over.truncate(TOLD);
        judged.differing.sort_by_key(|(position, _)| *position);
        judged.differing.truncate(TOLD);
        Ok(judged)
    }

    /// Hand out all paths; to drop `give` tells the threads that there are no more.
    #[expect(clippy::needless_pass_by_value, reason = "it is dropped here")]
    fn read(&self, closure: &Closure<'_>, give: SyncSender<Chunk>) -> Result<(), CheckError> {
        let size = if self.verify_contents { CHUNK_WITH_CONTENTS } else { CHUNK };
        for start in (0..closure.len()).step_by(size) {
            let end = start.saturating_add(size).min(closure.len());
            self.question.proceed(Stage::Judging, start, closure.len())?;
            if give.send((start, closure.read(start..end)?)).is_err() {
                // The threads have ended, with an error that is returned for them.
                break;
            }
        }
        Ok(())
    }

    fn work(
        &self,
        take: &Mutex<Receiver<Chunk>>,
        recorded: &[Vec<Recorded<'_>>],
        book: &Mutex<Book>,
    ) -> Result<Share, CheckError> {
        let mut share = Share::default();
        let mut cache = ChainCache::default();
        let mut last: Option<(Vec<Voucher>, ListId)> = None;
        loop {
            let chunk = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((start, entries)) = chunk else { return Ok(share) };
            for (entry, position) in entries.iter().zip(start..) {
                if self.verify_contents {
                    self.question.proceed(Stage::Reading, position, usize::MAX)?;
                    share.add_contents(position, entry, self.question.root);
                }
                let object = object(entry)?;
                let known = self.earlier.of(position);
                let earlier: Vec<EarlierVouchers<'_>> = known
                    .iter()
                    .map(|since| EarlierVouchers {
                        activated: since.since,
                        vouchers: list(recorded, since.list),
                    })
                    .collect();
                let real = real_path(self.question.root, entry);
                let recompute = || recompute(entry, &real).map_err(|error| error.to_string());
                let content_addressed = entry.content_address.as_ref();
                let member = Member {
                    object: &object,
                    signatures: &entry.signatures,
                    content_addressed: content_addressed.map(|_| &recompute as &dyn Fn() -> _),
                    earlier: &earlier,
                };
                let verdict = self.gate.member(&member, &mut cache);
                share.tally.add(&verdict);
                match verdict.basis() {
                    Ok((_, vouchers)) => {
                        let id = match &last {
                            Some((list, id)) if list == vouchers => *id,
                            Some(_) | None => {
                                let list = vouchers.iter().map(Vouched::of).collect();
                                book.lock().unwrap_or_else(PoisonError::into_inner).add(list)
                            }
                        };
                        if last.as_ref().is_none_or(|(_, last)| *last != id) {
                            last = Some((vouchers.to_vec(), id));
                        }
                        let now = self.question.now.seconds();
                        // "whoever vouched for it then": as long ago as that is known of just these.
                        let known = known.iter().filter(|known| known.list == id).map(|known| known.since);
                        let since = known.min().unwrap_or(now).min(now);
                        share.since.push((position, Since { since, list: id }));
                    }
                    Err(unvouched) => {
                        share.add_left_over(position, entry, &object, unvouched, self, &mut cache)
                    }
                }
            }
        }
    }
}

fn list<'a>(recorded: &'a [Vec<Recorded<'a>>], id: ListId) -> &'a [Recorded<'a>] {
    usize::try_from(id).ok().and_then(|id| recorded.get(id)).map(Vec::as_slice).unwrap_or_default()
}

/// What is signed, of a path.
pub(crate) fn object(entry: &Entry) -> Result<Object, CheckError> {
    Ok(Object::path(entry.info.fingerprint().as_bytes())?)
}

/// Where a path is on this machine.
pub(crate) fn real_path(root: &Path, entry: &Entry) -> PathBuf {
    let path = entry.info.path.as_str();
    root.join(path.strip_prefix('/').unwrap_or(path))
}

impl Share {
    fn add_contents(&mut self, position: usize, entry: &Entry, root: &Path) {
        let info = &entry.info;
        let problem = match nar_hash(&real_path(root, entry)) {
            Ok(found) if nix32(&found.sha256) == info.nar_hash && found.size == info.nar_size => return,
            Ok(_) => {
                "its contents on disk are not those that the store's database has the hash of".to_owned()
            }
            Err(error) => format!("its contents cannot be read: {error}"),
        };
        self.differing_count += 1;
        if self.differing.len() < TOLD {
            self.differing.push((position, Differs { path: info.path.clone(), problem }));
        }
    }

    fn add_left_over(
        &mut self,
        position: usize,
        entry: &Entry,
        object: &Object,
        unvouched: &Unvouched,
        judging: &Judging<'_>,
        cache: &mut ChainCache,
    ) {
        if self.left_over.len() < TOLD {
            let by = (judging.question.trust, judging.question.now);
            self.left_over.push((position, LeftOver::new(entry, object, unvouched, by, cache)));
        }
    }
}

impl Judged {
    fn add(&mut self, share: Share) {
        self.tally.merge(&share.tally);
        self.left_over.extend(share.left_over);
        self.differing.extend(share.differing);
        self.differing_count += share.differing_count;
        for (position, since) in share.since {
            if let Some(place) = self.since.get_mut(position) {
                *place = Some(since);
            }
        }
    }
}
