//! What a host makes of its clock (FORMAT section 10).

use super::revocation::{
    alices_key, by_ca, by_delegate, by_delegate_below, by_other_ca, compromised, doras_key, retired, through,
};
use super::*;
use serde_json::json;

/// The end of [`short`], and of what the clock may say there.
const END: u64 = NOW + 10 * DAY;
/// 2100-01-01T00:00:00Z.
const NEXT_CENTURY: u64 = 4_102_444_800;

scenarios! {
    all: Scenario;

    // T1: the clock fell back.
    "refuse-clock-at-zero": Scenario { now: 0, ..hello_by_alice("The clock fell back to 1970") }.refused("not-yet-valid"),
    "accept-clock-at-zero-list": Scenario { now: 0, ..hello_by_alice("It is at least as late as the CA's newest list") }
        .holding(&[by_ca(NOW, &[])]).accepted(),
    "accept-clock-at-zero-delegate": Scenario {
        now: 0,
        ..hello_by_alice("A delegate's list proves that it is as late as a day before its issue")
    }
    .holding(&[by_delegate(NOW, &[])]).accepted(),
    "refuse-clock-at-zero-delegate": Scenario {
        now: 0,
        ..hello_by_alice("A delegate's list of a second before: less a day, it is of before the certificate")
    }
    .holding(&[by_delegate(NOW - 1, &[])]).refused("not-yet-valid"),
    "refuse-clock-at-zero-below-intermediate": Scenario {
        now: 0,
        ..alice_signs_through("The list of a delegate below an intermediate says nothing about the time", &through(1))
    }
    .holding(&[by_delegate_below(1, NOW + DAY, &[])]).refused("not-yet-valid"),
    "refuse-clock-at-zero-other-ca": Scenario {
        now: 0,
        trusted_ca_keys: both_cas(),
        ..hello_by_alice("Another CA's list says nothing about the time for this one")
    }
    .under(policy::of_both()).holding(&[by_other_ca(NOW, &[])]).refused("not-yet-valid"),
    "accept-clock-at-zero-earliest-time": Scenario { now: 0, ..hello_by_alice("It is at least as late as the policy says") }
        .under(policy::with("earliest-time", json!("2027-01-14T08:00:00Z"))).accepted(),
    "refuse-clock-at-zero-earliest-time": Scenario {
        now: 0,
        ..hello_by_alice("The policy's earliest time is the second before the certificate's first")
    }
    .under(policy::with("earliest-time", json!("2027-01-14T07:59:59Z"))).refused("not-yet-valid"),
    "accept-clock-at-zero-earliest-date": Scenario { now: 0, ..hello_by_alice("A date means its first second, in UTC") }
        .under(policy::with("earliest-time", json!("2027-01-15"))).accepted(),
    "accept-list-later-than-earliest-time": Scenario { now: 0, ..hello_by_alice("The list is later than the earliest time") }
        .under(policy::with("earliest-time", json!("2026-01-01"))).holding(&[by_ca(NOW, &[])]).accepted(),
    "accept-earliest-time-later-than-list": Scenario { now: 0, ..hello_by_alice("The earliest time is later than the list") }
        .under(policy::with("earliest-time", json!("2027-01-15"))).holding(&[by_ca(NOW - 300 * DAY, &[])]).accepted(),
    "accept-clock-later-than-list": hello_by_alice("An old list does not set the clock back")
        .holding(&[by_ca(NOW - 300 * DAY, &[])]).accepted(),

    // T1: what ended before the last list stays ended.
    "accept-list-in-the-last-second": short("The CA's newest list is of the last second of validity; the clock is behind")
        .holding(&[by_ca(END - 1, &[])]).accepted(),
    "refuse-list-after-the-end": short("The CA's newest list is of the first second after it: nothing is revived")
        .holding(&[by_ca(END, &[])]).refused("expired"),
    "refuse-earliest-time-after-the-end": short("The policy's earliest time is after the end")
        .under(policy::with("earliest-time", json!("2027-01-25T08:00:00Z"))).refused("expired"),
    "accept-other-cas-list-after-the-end": Scenario { trusted_ca_keys: both_cas(), ..short("Another CA's list is of next year") }
        .under(policy::of_both()).holding(&[by_other_ca(NOW + 365 * DAY, &[])]).accepted(),
    "accept-delegates-list-less-than-a-day-after": short("A delegate's list is of almost a day after: it may be ahead by as much")
        .holding(&[by_delegate(END + DAY - 1, &[])]).accepted(),
    "refuse-delegates-list-after-the-end": short("A delegate's list is of a day after")
        .holding(&[by_delegate(END + DAY, &[])]).refused("expired"),
    "refuse-one-list-after-the-end": short("The CA's list is of before the end, a delegate's of a day after")
        .holding(&[by_ca(NOW, &[]), by_delegate(END + DAY, &[])]).refused("expired"),
    "accept-list-below-intermediate-after-the-end": short_through("A delegate below the intermediate has no say in the CA's time")
        .holding(&[by_delegate_below(1, END + 30 * DAY, &[])]).accepted(),
    "accept-retired-delegates-list-after-the-end": short("The same; but the CA retired the delegate: its lists prove no time")
        .holding(&[by_ca(NOW, &[retired(doras_key())]), by_delegate(END + DAY, &[])]).accepted(),
    "accept-compromised-delegates-list-after-the-end": short("The same; but the CA calls the delegate compromised")
        .holding(&[by_ca(NOW, &[compromised(doras_key(), NOW)]), by_delegate(END + DAY, &[])]).accepted(),
    "refuse-newest-list-after-the-end": short("An old list, and a newer one of the same signer")
        .holding(&[by_ca(END, &[]), by_ca(NOW, &[])]).refused("expired"),

    // T1: the time of registration is compared with that time.
    "accept-registered-before-the-list": Scenario {
        now: 0,
        registered: Some(NOW),
        ..short("The clock fell back to 1970, and the list is from after the end: registered between, in time")
    }
    .holding(&[by_ca(END, &[])]).accepted(),
    "refuse-registered-after-the-list": Scenario {
        now: 0,
        registered: Some(END - 1),
        ..short("Registered, it says, after the time that it is: that is no time of registration")
    }
    .holding(&[by_ca(NOW - 2 * DAY, &[])]).refused("not-yet-valid"),

    // T2: the next century.
    "refuse-next-century": Scenario { now: NEXT_CENTURY, ..hello_by_alice("The clock says 2100") }.refused("expired"),
    "accept-next-century-registered": Scenario {
        now: NEXT_CENTURY,
        registered: Some(NOW),
        ..hello_by_alice("The clock says 2100; already valid here since before the certificate expired")
    }
    .accepted(),

    // T3: a clock that may be behind.
    "refuse-dead-clock-exact": dead_clock("Renewed yesterday; but the host's clock stands still since the day before")
        .refused("not-yet-valid"),
    "accept-dead-clock-lower-bound": dead_clock("The same, on a host that knows that its clock may be behind")
        .under(policy::with("clock", json!("lower-bound"))).accepted(),
    "refuse-exact-clock-said-so": dead_clock("The same, on a host whose policy says that its clock is exact")
        .under(policy::with("clock", json!("exact"))).refused("not-yet-valid"),
    "accept-dead-clock-intermediate": Scenario {
        now: NOW - 2 * DAY,
        ..alice_signs_through("Neither is not-before asked of the intermediate", &[(leaf(), intermediate(1)), (issuer(1, 0), root())])
    }
    .under(policy::with("clock", json!("lower-bound"))).accepted(),
    "refuse-lower-bound-expired-intermediate": alice_signs_through("The intermediate has ended by a clock that may be behind", &[
        (leaf(), intermediate(1)),
        (Draft { not_after: Instant::from_seconds(NOW).unwrap(), ..issuer(1, 0) }, root()),
    ])
    .under(policy::with("clock", json!("lower-bound"))).refused("expired"),
    "refuse-lower-bound-expired": Scenario { now: END, ..short("What has ended by a clock that may be behind has ended") }
        .under(policy::with("clock", json!("lower-bound"))).refused("expired"),
    "accept-lower-bound-last-second": Scenario { now: END - 1, ..short("The last second of validity") }
        .under(policy::with("clock", json!("lower-bound"))).accepted(),
    "refuse-lower-bound-list-after-the-end": Scenario { now: 0, ..short("What had ended when the CA's newest list was issued has ended") }
        .under(policy::with("clock", json!("lower-bound"))).holding(&[by_ca(END, &[])]).refused("expired"),
    "accept-lower-bound-registered-in-time": Scenario { now: END, registered: Some(NOW - DAY), ..short("Registered in the first second of validity") }
        .under(policy::with("clock", json!("lower-bound"))).accepted(),
    "refuse-lower-bound-registered-before": Scenario {
        now: END,
        registered: Some(NOW - DAY - 1),
        ..short("Registered in the second before it: of the time of registration both ends are asked")
    }
    .under(policy::with("clock", json!("lower-bound"))).refused("expired"),
    "accept-lower-bound-retired-registered": Scenario { registered: Some(NOW - 3_600), ..hello_by_alice("Retired; registered here before") }
        .under(policy::with("clock", json!("lower-bound"))).holding(&[by_ca(NOW, &[retired(alices_key())])]).accepted(),
}

/// Valid until [`END`].
fn short(description: &'static str) -> Scenario {
    alice_signs(description, Draft { not_after: Instant::from_seconds(END).unwrap(), ..leaf() }, "hello-2.12")
}

/// The same, below an intermediate.
fn short_through(description: &'static str) -> Scenario {
    let mut chain = through(1);
    chain[0].0.not_after = Instant::from_seconds(END).unwrap();
    alice_signs_through(description, &chain)
}

/// The clock is a day behind the certificate's first second.
fn dead_clock(description: &'static str) -> Scenario {
    Scenario { now: NOW - 2 * DAY, ..hello_by_alice(description) }
}
