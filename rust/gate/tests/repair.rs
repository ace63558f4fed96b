//! What may be replaced by what. (That Nix then does it, the end-to-end tests say.)
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{HOUR, NOW, World, alice, mallory, path};
use nixcert_core::{GateRefusal, NarInfo, PathInfo};
use nixcert_gate::{Decision, RepairError, Repairer};
use std::fs;

/// A store with a doctored `sudo`, and the real one's info with Alice's signature.
fn doctored() -> (World, NarInfo) {
    let world = World::new("", &[("system", &["sudo"]), ("sudo", &[])]);
    let info = world.info("sudo");
    let real = NarInfo { info, signatures: vec![world.signature(&alice(), "sudo")], content_address: None };
    world.add("sudo", "doctored");
    world.sign(&mallory(), &["sudo"]);
    (world, real)
}

fn decide(world: &World, sent: &NarInfo) -> Decision {
    let question = world.question(NOW);
    let records = world.records();
    records.prepare().unwrap();
    let mut repairer = Repairer::new(&question, &records).unwrap().unwrap();
    repairer.decide(sent).unwrap()
}

fn code(world: &World, sent: &NarInfo) -> &'static str {
    match decide(world, sent) {
        Decision::Replace { .. } => "replace",
        Decision::Fine => "fine",
        Decision::Refused { code, .. } => code,
    }
}

#[test]
fn only_what_is_no_good_by_what_is_vouched_for() {
    let (world, real) = doctored();
    assert!(matches!(decide(&world, &real), Decision::Replace { vouchers } if vouchers == ["alice"]));
    let unsigned = NarInfo { signatures: Vec::new(), ..real.clone() };
    assert_eq!(code(&world, &unsigned), "no-signatures");
    let hers = NarInfo {
        info: world.info("sudo"),
        signatures: vec![world.signature(&mallory(), "sudo")],
        ..real.clone()
    };
    assert_eq!(code(&world, &hers), "missing-usage");
    let other = NarInfo { info: PathInfo { nar_size: 8, ..real.info.clone() }, ..real.clone() };
    assert_eq!(code(&world, &other), "bad-signature");
    let large = NarInfo { info: PathInfo { nar_size: 1 << 40, ..real.info.clone() }, ..real.clone() };
    assert_eq!(code(&world, &large), "archive-too-large");
    let absent = NarInfo { info: PathInfo { path: path("absent"), ..real.info.clone() }, ..real.clone() };
    assert_eq!(code(&world, &absent), "path-not-valid");
    // She vouches for both: then it stays as it is.
    world.sign(&alice(), &["sudo"]);
    assert_eq!(code(&world, &real), "fine");
}

#[test]
fn what_differs_on_disk_alone_is_replaced_by_the_same() {
    let (world, real) = doctored();
    world.add("sudo", "sudo");
    assert_eq!(code(&world, &real), "fine");
    fs::write(world.real("sudo"), "behind Nix's back").unwrap();
    assert_eq!(code(&world, &real), "replace");
}

#[test]
fn what_was_activated_stays() {
    let (world, real) = doctored();
    // Somebody vouched for it as it is, in a system that was activated.
    world.sign_closure(&alice(), &["system", "sudo"], NOW - HOUR);
    assert_eq!(code(&world, &real), "replace");
    world.activate("system", NOW);
    assert_eq!(code(&world, &real), "fine");
}

#[test]
fn another_archive_changes_nothing() {
    let (world, real) = doctored();
    let question = world.question(NOW);
    let records = world.records();
    records.prepare().unwrap();
    let mut repairer = Repairer::new(&question, &records).unwrap().unwrap();
    let archive = vec![0; usize::try_from(real.info.nar_size).unwrap()];
    let mut stream = [archive.as_slice(), b"the next"].concat();
    let mut stream = std::io::Cursor::new(&mut stream);
    let error = repairer.replace(&real, &mut stream).unwrap_err();
    assert!(matches!(error, RepairError::Contents(_)), "{error}");
    assert_eq!(stream.position(), real.info.nar_size, "the next path follows");
    let error = repairer.replace(&real, &mut b"short".as_slice()).unwrap_err();
    assert!(matches!(error, RepairError::Stream(_)), "{error}");
    assert_eq!(fs::read_to_string(world.real("sudo")).unwrap(), "doctored");
    assert!(fs::read_dir(records.directory()).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn without_a_policy_nothing_is() {
    let (mut world, _) = doctored();
    world.trust.policy.activation = None;
    world.records().prepare().unwrap();
    let question = world.question(NOW);
    let refused = Repairer::new(&question, &world.records()).unwrap().err();
    assert_eq!(refused, Some(GateRefusal::NoActivationPolicy));
}
