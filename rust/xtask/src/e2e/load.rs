//! Many at once, while what decides changes; clients and daemons that die. The numbers are small enough for every run.

use std::{
    collections::BTreeMap,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    faults::{is_intact, restart, with_an_empty_store},
    forge::{Key, signed_by},
    pki::EVERYTHING,
    policy::{self, ALL_NAMES, POLICY, acme, vendor},
    revocation::{Site, hello},
    tools::offer,
    wire::{Client, Flags, Parcel},
};
use crate::{bed::Bed, host::Host, report::sentence};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "load/policy-replaced-a-thousand-times-during-imports", run: policies },
    Case { name: "load/list-replaced-a-thousand-times-during-imports", run: lists },
    Case { name: "load/sixty-four-clients-while-lists-change", run: sixty_four },
    Case { name: "load/clients-that-die-in-the-middle-leave-nothing", run: dying_clients },
    Case { name: "load/daemon-killed-during-imports-loses-nothing", run: killed_daemon },
];

/// How often a file is replaced while others import.
const REPLACEMENTS: u32 = 1000;

/// How many import while a file is replaced.
const IMPORTERS: usize = 4;

/// How many copy at once.
const CLIENTS: usize = 64;

/// How often the daemon is killed.
const KILLS: u32 = 5;

/// Under whose name and with whose signature something is offered, and what may come of it: a reason, or nothing if it is
/// accepted.
struct Offer<'a> {
    key: &'a Key,
    name: &'a str,
    by_the_first: Option<&'static str>,
    by_the_second: Option<&'static str>,
}

/// One version permits `hello`, the other `sudo`, and both permit `both`.
fn policies(bed: &Bed) -> Result<Outcome> {
    let alice = policy::alice(bed, EVERYTHING)?;
    let policy = |name: &str| {
        // Long enough to be read in more than one piece.
        let padding = format!("# {}\n", "a".repeat(100)).repeat(200);
        acme(&format!("permitted-names = [\n\"both@\",\n{padding}\"{name}@\"]"))
    };
    let refused = Some("name-not-permitted-by-policy");
    let offer = |name, by_the_first, by_the_second| Offer { key: &alice, name, by_the_first, by_the_second };
    let offers = [
        offer("hello-1", None, refused),
        offer("sudo-1", refused, None),
        offer("both-1", None, None),
        offer("neither-1", refused, refused),
    ];
    bed.server.configure(&policy::settings(bed)?)?;
    policy::replace(&bed.server, &policy("hello"))?;
    let versions = [policy("hello"), policy("sudo")].map(String::into_bytes);
    replaced_during_imports(bed, POLICY, &versions, &offers)
}

/// One version withdraws from Alice, the other from Bob, and both from Mallory.
fn lists(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|person| site.person(person));
    let (alice, bob, mallory) = (alice?, bob?, mallory?);
    let of_the_other = policy::bob(bed, EVERYTHING)?;
    let first = site.list("--label alice --label mallory --retired")?;
    let second = site.list("--withdraw label:alice --label bob --retired --issued-now")?;
    site.install(&first)?;
    let file = bed.server.root(&format!("ls {}/*/*.list", site.lists))?;
    let versions = [bed.workstation.read(&first)?, bed.workstation.read(&second)?];
    let retired = Some("retired");
    let offer =
        |key, by_the_first, by_the_second| Offer { key, name: "hello-1", by_the_first, by_the_second };
    let vendor = vendor();
    let offers = [
        offer(&alice, retired, None),
        offer(&bob, None, retired),
        offer(&mallory, retired, retired),
        offer(&of_the_other, None, None),
        offer(&vendor, None, None),
    ];
    replaced_during_imports(bed, file.trim(), &versions, &offers)
}

/// Replaces a file by its two versions in turn, while clients make these offers. Each is judged by one of the two, and each of
/// the two judges some.
fn replaced_during_imports(
    bed: &Bed,
    file: &str,
    versions: &[Vec<u8>; 2],
    offers: &[Offer<'_>],
) -> Result<Outcome> {
    let server = &bed.server;
    // The last is the first version again.
    for (number, version) in (0..REPLACEMENTS).zip(versions.iter().rev().cycle()) {
        server.write(&format!("/srv/versions/{number}"), version)?;
    }
    // What is renamed at once after it was written is waited for, as a file that is being written.
    thread::sleep(Duration::from_millis(600));
    let mut clients = (0..IMPORTERS).map(|_| Client::beside(server, "alice")).collect::<Result<Vec<_>>>()?;
    let done = AtomicBool::new(false);
    let counts = Mutex::new(BTreeMap::new());
    let result = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let import = || {
                    while !done.load(Ordering::Relaxed) {
                        for (number, it) in offers.iter().enumerate() {
                            let is_accepted = one_of_two(client, it)?;
                            *counts
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .entry((number, is_accepted))
                                .or_insert(0_u32) += 1;
                        }
                    }
                    Ok(())
                };
                scope.spawn(import)
            })
            .collect();
        let last = REPLACEMENTS - 1;
        let line = format!("cd /srv/versions; for it in $(seq 0 {last}); do mv -T $it {file}; done");
        let replaced = server.root(&line);
        done.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(joined).and(replaced)
    });
    result?;
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (number, it) in offers.iter().enumerate() {
        for (is_accepted, may_be) in [
            (true, it.by_the_first.is_none() || it.by_the_second.is_none()),
            (false, it.by_the_first.is_some() || it.by_the_second.is_some()),
        ] {
            if may_be && !counts.contains_key(&(number, is_accepted)) {
                bail!("one of the two versions has judged no {} by '{}': {counts:?}", it.name, it.key.name);
            }
        }
    }
    Ok(Outcome::Passed)
}

/// Makes an offer: it is accepted and valid, or refused for a reason that one of the two versions gives, and not valid.
fn one_of_two(client: &mut Client, it: &Offer<'_>) -> Result<bool> {
    let parcel = signed_by(&[it.key], &fresh(it.name), b"hello");
    let path = &parcel.info.path;
    let answer = client.add(&parcel, Flags::default()).map_err(|error| sentence(&error));
    let is_valid = client.info(path)?.is_some();
    let may = [it.by_the_first, it.by_the_second].into_iter().any(|reason| match (reason, &answer) {
        (None, Ok(())) => is_valid,
        (Some(reason), Err(said)) => {
            let refusal = format!("cannot add path '{path}' because it lacks a signature by a trusted key");
            !is_valid && said.contains(&refusal) && said.contains(&format!("[{reason}]"))
        }
        (None, Err(_)) | (Some(_), Ok(())) => false,
    });
    if !may {
        let valid = if is_valid { "valid" } else { "not valid" };
        bail!(
            "{path} by '{}' is {valid}, which neither version says; the daemon said: {answer:?}",
            it.key.name
        );
    }
    Ok(answer.is_ok())
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a client of the test panicked"))?
}

/// Each of the clients offers what is signed, what is not, and what is signed with a certificate that has expired, while lists
/// that are about somebody else are taken up and the policy is written again.
fn sixty_four(bed: &Bed) -> Result<Outcome> {
    let (site, server) = (Site::new(bed, "")?, &bed.server);
    let [good, of_the_other] = [site.person("alice")?, policy::alice(bed, EVERYTHING)?];
    let expired = policy::bob(bed, &format!("{EVERYTHING} --allow-expired --not-before=-3d --valid 2d"))?;
    with_an_empty_store(server, "256m", &site.settings()?, || {
        let barrier = Barrier::new(CLIENTS + 1);
        let busy = Mutex::new(CLIENTS);
        let mut clients: Vec<Client> =
            (0..CLIENTS).map(|_| Client::beside(server, "alice")).collect::<Result<_>>()?;
        thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(|| {
                        barrier.wait();
                        let result = mixed(client, [&good, &of_the_other], &expired);
                        *busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                        result
                    })
                })
                .collect();
            barrier.wait();
            let mut changed = 0;
            let changes = (|| {
                while *busy.lock().unwrap_or_else(PoisonError::into_inner) > 0 || changed == 0 {
                    changed += 1;
                    site.revoke(&format!("--label nobody-{changed} --retired"))?;
                    server.root(&format!("cp -p {POLICY} {POLICY}.new; mv {POLICY}.new {POLICY}"))?;
                }
                Ok(())
            })();
            threads.into_iter().try_for_each(joined).and(changes)
        })?;
        drop(clients);
        no_worker_is_left(server)?;
        offer(&mut Client::beside(server, "alice")?, &hello(&good), None)?;
        is_intact(server)
    })?;
    Ok(Outcome::Passed)
}

fn mixed(client: &mut Client, good: [&Key; 2], expired: &Key) -> Result<()> {
    for key in good {
        offer(client, &hello(key), None)?;
        offer(client, &hello(expired), Some("expired"))?;
        let unsigned = signed_by(&[], &fresh("hello-1"), b"hello");
        let path = &unsigned.info.path;
        let refusal = format!("cannot add path '{path}' because it lacks a signature by a trusted key");
        must_fail(client.add(&unsigned, Flags::default()), &refusal)?;
        if client.info(path)?.is_some() {
            bail!("{path} is valid, though nobody has signed it");
        }
    }
    Ok(())
}

/// The daemon runs, and no process of it that served somebody.
fn no_worker_is_left(server: &Host) -> Result<()> {
    let begun = Instant::now();
    loop {
        let daemons = server.root("busybox pidof nix-daemon || true")?;
        if daemons.split_whitespace().count() == 1 {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(10) {
            let all = server.root("busybox ps -o pid,stat,user,args | grep nix-daemon || true")?;
            bail!("the daemon should run alone: {all}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Of each path, the clients send less and less before they die: nothing of it is valid, and the next client can bring it.
fn dying_clients(bed: &Bed) -> Result<Outcome> {
    let alice = policy::alice(bed, EVERYTHING)?;
    let server = &bed.server;
    policy::replace(server, &acme(ALL_NAMES))?;
    with_an_empty_store(server, "256m", &policy::settings(bed)?, || {
        let parcel = signed_by(&[&alice], &fresh("hello-1"), &vec![b'a'; 1 << 20]);
        for percent in [99, 75, 50, 25, 0] {
            Client::beside(server, "alice")?.dies_after(percent, &parcel)?;
        }
        // By ssh, as people do.
        Client::connect(&bed.workstation, "alice", server)?.dies_after(50, &parcel)?;
        no_worker_is_left(server)?;
        let mut client = Client::beside(server, "alice")?;
        if client.info(&parcel.info.path)?.is_some() {
            bail!("{} is valid, and nobody has sent all of it", parcel.info.path);
        }
        offer(&mut client, &parcel, None)?;
        is_intact(server)
    })?;
    Ok(Outcome::Passed)
}

/// What becomes of the paths that one client offers until the daemon is gone.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<Parcel>,
    /// The last one, of which nothing is known.
    interrupted: Option<Parcel>,
    unsigned: Vec<Parcel>,
}

/// With all its workers, at different moments. What it said to be there is there; what nobody has signed is not.
fn killed_daemon(bed: &Bed) -> Result<Outcome> {
    let alice = policy::alice(bed, EVERYTHING)?;
    let server = &bed.server;
    policy::replace(server, &acme(ALL_NAMES))?;
    let settings = policy::settings(bed)?;
    with_an_empty_store(server, "256m", &settings, || {
        for kill in 0..KILLS {
            let mut clients =
                (0..IMPORTERS).map(|_| Client::beside(server, "alice")).collect::<Result<Vec<_>>>()?;
            let sent = thread::scope(|scope| {
                let (not_begun, all_have_begun) = mpsc::channel();
                let threads: Vec<_> = clients
                    .iter_mut()
                    .map(|client| {
                        let (not_begun, alice) = (not_begun.clone(), &alice);
                        scope.spawn(move || Ok(until_it_is_gone(client, alice, not_begun)))
                    })
                    .collect();
                drop(not_begun);
                // Nobody sends: it ends when the last sender is gone.
                let _ = all_have_begun.recv_timeout(Duration::from_secs(60));
                thread::sleep(Duration::from_millis(37 * u64::from(kill)));
                // The clients' ends of it, too, are called so.
                let killed = server.root("kill -9 $(busybox pidof nix-daemon)");
                let sent: Result<Vec<Sent>> = threads.into_iter().map(joined).collect();
                killed.and(sent)
            })?;
            drop(clients);
            restart(server, &settings)?;
            let mut client = Client::beside(server, "alice")?;
            for it in &sent {
                all_is_well(server, &mut client, it)?;
            }
            is_intact(server)?;
        }
        Ok(())
    })?;
    Ok(Outcome::Passed)
}

/// Drops `not_begun` when the daemon has acknowledged a first path.
fn until_it_is_gone(client: &mut Client, alice: &Key, not_begun: Sender<()>) -> Sent {
    let mut sent = Sent::default();
    let mut not_begun = Some(not_begun);
    loop {
        let unsigned = signed_by(&[], &fresh("hello-1"), b"hello");
        let gone = |error: &anyhow::Error| !sentence(error).contains("lacks a signature by a trusted key");
        let is_gone = client.add(&unsigned, Flags::default()).is_err_and(|error| gone(&error));
        sent.unsigned.push(unsigned);
        let parcel = signed_by(&[alice], &fresh("hello-1"), &vec![b'a'; 100_000]);
        if is_gone {
            return sent;
        }
        if client.add(&parcel, Flags::default()).is_err() {
            sent.interrupted = Some(parcel);
            return sent;
        }
        sent.acknowledged.push(parcel);
        drop(not_begun.take());
    }
}

fn all_is_well(server: &Host, client: &mut Client, sent: &Sent) -> Result<()> {
    let paths =
        |parcels: &[Parcel]| parcels.iter().map(|it| it.info.path.clone()).collect::<Vec<_>>().join(" ");
    if sent.acknowledged.is_empty() {
        bail!("the daemon was killed before it had begun");
    }
    let acknowledged = paths(&sent.acknowledged);
    server.root(&format!("nix-store --check-validity {acknowledged}"))?;
    let unsigned = paths(&sent.unsigned);
    let invalid = server.root(&format!("nix-store --check-validity --print-invalid {unsigned}"))?;
    if invalid.split_whitespace().count() != sent.unsigned.len() {
        bail!("of {unsigned}, only these are not valid, and nobody has signed any: {invalid}");
    }
    match &sent.interrupted {
        // It may have been done, and not yet said.
        Some(parcel) => offer(client, parcel, None).map(drop),
        None => Ok(()),
    }
}
