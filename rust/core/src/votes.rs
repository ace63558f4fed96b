//! Counting votes (FORMAT P6, P7): how many people there are behind signatures, and not how many keys or certificates.

use crate::certificate::Certificate;
use crate::key::PublicKey;
use crate::limits::VOTE_STEPS;
use std::collections::{BTreeMap, BTreeSet};

/// Whether two votes may have come through one intermediate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Together {
    /// No: whoever holds an intermediate could make any number of voters.
    #[default]
    OneVote,
    /// Yes: the intermediate is trusted to tell people apart.
    SeparateVotes,
}

/// One signature that counts, as a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voter {
    /// What it may share with no other.
    marks: BTreeSet<Mark>,
    /// The intermediate that the CA itself certified, if there is one above the voter.
    through: Option<PublicKey>,
}

/// By what one person may be known again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Key(PublicKey),
    Label(String),
}

impl Voter {
    /// P6: "no two of them have a subject key in common, or a label, anywhere in their chains"
    pub(crate) fn new(certificates: &[Certificate<'_>], together: Together) -> Self {
        let counted = match together {
            Together::OneVote => certificates.len(),
            Together::SeparateVotes => 1,
        };
        let marks = certificates.iter().take(counted).flat_map(|certificate| {
            [Mark::Key(certificate.subject), Mark::Label(certificate.label.to_string())]
        });
        let through = certificates.get(1..).and_then(<[_]>::last).map(|topmost| topmost.subject);
        Self { marks: marks.collect(), through }
    }
}

/// What a search for votes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Enough,
    TooFew,
    /// The limit of P7 was reached.
    GivenUp,
}

/// Whether there are `wanted` voters of whom no two share a mark.
///
/// Finding the most is hard in general (it is set packing), and the voters may be an attacker's. So first all is left out that
/// cannot matter, which leaves little of what one intermediate can make; then comes a search with a limit. It begins with those
/// who came through the fewest: whoever makes a crowd of voters puts that crowd, and nobody else, at the end.
pub(crate) fn count(voters: &[Voter], wanted: usize) -> Found {
    let mut crowds: BTreeMap<PublicKey, usize> = BTreeMap::new();
    for through in voters.iter().filter_map(|voter| voter.through) {
        *crowds.entry(through).or_default() += 1;
    }
    let crowd =
        |voter: &Voter| voter.through.and_then(|through| crowds.get(&through).copied()).unwrap_or_default();
    let mut voters: Vec<Candidate> =
        voters.iter().map(|voter| Candidate { marks: voter.marks.clone(), crowd: crowd(voter) }).collect();
    drop_same(&mut voters);
    drop_needless_marks(&mut voters);
    // Who shares nothing with anybody is a vote in any case.
    let alone = voters.iter().filter(|voter| voter.marks.is_empty()).count();
    voters.retain(|voter| !voter.marks.is_empty());
    drop_same(&mut voters);
    voters.sort_by_key(|voter| voter.crowd);
    let mut steps = VOTE_STEPS;
    match search(&voters, &mut Vec::new(), wanted.saturating_sub(alone), &mut steps) {
        true => Found::Enough,
        false if steps == 0 => Found::GivenUp,
        false => Found::TooFew,
    }
}

/// A voter in the search.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    marks: BTreeSet<Mark>,
    /// How many came through the same intermediate.
    crowd: usize,
}

/// Those with the same marks are one vote.
fn drop_same(voters: &mut Vec<Candidate>) {
    voters.sort_unstable();
    voters.dedup_by(|later, first| later.marks == first.marks);
}

fn holders(voters: &[Candidate]) -> BTreeMap<Mark, Vec<usize>> {
    let mut holders: BTreeMap<Mark, Vec<usize>> = BTreeMap::new();
    for (index, voter) in voters.iter().enumerate() {
        for mark in &voter.marks {
            holders.entry(mark.clone()).or_default().push(index);
        }
    }
    holders
}

/// A mark that only one voter has forbids nothing. Nor does one whose voters all have another mark in common, which forbids as
/// much: so of all the keys and labels that one intermediate can make, only itself is left.
fn drop_needless_marks(voters: &mut [Candidate]) {
    let holders = holders(voters);
    let mut dropped: BTreeSet<&Mark> = BTreeSet::new();
    for (mark, having) in &holders {
        let all_have = |other: &Mark| {
            having.iter().all(|index| voters.get(*index).is_some_and(|voter| voter.marks.contains(other)))
        };
        let first = having.first().and_then(|index| voters.get(*index));
        let replaced = first.is_some_and(|voter| {
            voter.marks.iter().any(|other| other != mark && !dropped.contains(other) && all_have(other))
        });
        if having.len() == 1 || replaced {
            dropped.insert(mark);
        }
    }
    let dropped: BTreeSet<Mark> = dropped.into_iter().cloned().collect();
    for voter in voters {
        voter.marks.retain(|mark| !dropped.contains(mark));
    }
}

/// Whether `wanted` of `voters` can be chosen beside those that were `chosen`.
fn search<'a>(
    mut voters: &'a [Candidate],
    chosen: &mut Vec<&'a BTreeSet<Mark>>,
    wanted: usize,
    steps: &mut usize,
) -> bool {
    if wanted == 0 {
        return true;
    }
    while let [Candidate { marks, .. }, rest @ ..] = voters {
        if *steps == 0 || voters.len() < wanted {
            return false;
        }
        *steps -= 1;
        if chosen.iter().all(|other| other.is_disjoint(marks)) {
            chosen.push(marks);
            if search(rest, chosen, wanted - 1, steps) {
                return true;
            }
            chosen.pop();
        }
        voters = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(marks: &[u8]) -> Voter {
        let marks = marks.iter().map(|mark| Mark::Key(PublicKey([*mark; 32]))).collect();
        Voter { marks, through: None }
    }

    fn most(voters: &[Voter]) -> usize {
        (1..20).take_while(|wanted| count(voters, *wanted) == Found::Enough).count()
    }

    #[test]
    fn what_is_shared_counts_once() {
        assert_eq!(count(&[], 1), Found::TooFew);
        assert_eq!(most(&[voter(&[1, 2]), voter(&[3, 4])]), 2);
        assert_eq!(most(&[voter(&[1, 2]), voter(&[1, 2])]), 1);
        assert_eq!(most(&[voter(&[1, 2]), voter(&[1, 3])]), 1);
        assert_eq!(most(&[voter(&[1, 2]), voter(&[2, 3]), voter(&[3, 4])]), 2);
        // A greedy choice of the first would find one.
        assert_eq!(most(&[voter(&[1, 2, 3]), voter(&[1, 4]), voter(&[2, 5]), voter(&[3, 6])]), 3);
    }

    /// The slow, obvious way.
    fn most_by_trying_all(voters: &[Voter]) -> usize {
        (0_u32..1 << voters.len())
            .filter(|subset| {
                let chosen: Vec<&Voter> =
                    voters.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, v)| v).collect();
                let marks: usize = chosen.iter().map(|voter| voter.marks.len()).sum();
                chosen.iter().flat_map(|voter| &voter.marks).collect::<BTreeSet<_>>().len() == marks
            })
            .map(u32::count_ones)
            .max()
            .unwrap_or_default() as usize
    }

    #[test]
    fn as_many_as_by_trying_all() {
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..2_000 {
            let marks = 2 + random(12);
            let voters: Vec<Voter> = (0..random(9))
                .map(|_| voter(&(0..=random(4)).map(|_| random(marks) as u8).collect::<Vec<_>>()))
                .collect();
            assert_eq!(most(&voters), most_by_trying_all(&voters), "{voters:?}");
        }
    }

    fn key(number: u32, kind: u8) -> PublicKey {
        let mut bytes = [kind; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PublicKey(bytes)
    }

    /// A voter with these marks, through that intermediate (which is a mark, too).
    fn through(intermediate: PublicKey, marks: &[PublicKey]) -> Voter {
        let marks = marks.iter().chain([&intermediate]).map(|key| Mark::Key(*key)).collect();
        Voter { marks, through: Some(intermediate) }
    }

    /// Mallory, who holds an intermediate, adds all the voters that she likes: they are one vote, and in nobody's way.
    #[test]
    fn an_intermediate_cannot_crowd_out() {
        let [one, two, three] = [1, 2, 3].map(|mark| PublicKey([mark; 32]));
        let mallory = key(0, 9);
        let mut voters = vec![voter(&[1, 2]), voter(&[3, 4])];
        for i in 0..100 {
            voters.extend((0..100).map(|j| through(mallory, &[key(i, 7), key(j, 8)])));
            // Certificates of hers for the others' keys, with the others' labels.
            voters.push(through(mallory, &[one, key(i, 8)]));
            voters.push(through(mallory, &[three, two]));
        }
        assert_eq!(most(&voters), 3);
        // Two who work together are two votes.
        for i in 0..60 {
            voters.extend((0..60).map(|j| through(key(0, 10), &[key(i, 7), key(j, 8)])));
        }
        assert_eq!(count(&voters, 4), Found::Enough);
        assert_ne!(count(&voters, 5), Found::Enough);
    }

    /// With two intermediates she makes voters of which each is in the way of many others, and of both honest ones.
    #[test]
    fn two_intermediates_cannot_crowd_out() {
        let [alice, bob] = [1, 3].map(|mark| PublicKey([mark; 32]));
        let (first, second) = (key(1, 9), key(2, 9));
        // The honest ones come through intermediates of their own.
        let mut voters = vec![through(key(3, 9), &[alice]), through(key(4, 9), &[bob])];
        for i in 0..60 {
            for j in 0..60 {
                voters.push(through(first, &[alice, bob, key(i, 7), key(j, 8)]));
                voters.push(through(second, &[alice, bob, key(j, 7), key(i, 8)]));
                voters.push(through(first, &[bob, key(i, 7)]));
                voters.push(through(second, &[alice, key(i, 8)]));
            }
        }
        assert_eq!(count(&voters, 2), Found::Enough);
        assert_ne!(count(&voters, 3), Found::Enough, "there are no three among them");
    }

    /// Her voters are in the way of four people whom the CA itself certified, and are no four themselves. However her keys sort.
    #[test]
    fn who_came_through_fewest_is_asked_first() {
        let people = [0xfc, 0xfd, 0xfe, 0xff].map(|mark| PublicKey([mark; 32]));
        let [alice, bob, carol, dora] = people;
        let (first, second) = (key(1, 9), key(2, 9));
        let mut voters: Vec<Voter> = people.iter().map(|person| voter(&[person.0[0]])).collect();
        for (i, j) in (0..30).flat_map(|i| (0..30).map(move |j| (i, j))) {
            voters.push(through(first, &[alice, bob, key(i, 7), key(j, 8)]));
            voters.push(through(second, &[carol, dora, key(j, 7), key(i, 8)]));
        }
        assert_eq!(count(&voters, 4), Found::Enough);
        assert_ne!(count(&voters, 5), Found::Enough);
    }

    /// Four people with many certificates each, and Mallory with fewer: hers are asked first, and each is in the way of two.
    #[test]
    fn who_has_few_certificates_cannot_crowd_out_who_has_many() {
        let people: Vec<PublicKey> = (1..5).map(|person| key(person, 9)).collect();
        let mallory = key(5, 9);
        let mut voters = Vec::new();
        for (i, j) in (0..15).flat_map(|i| (0..15).map(move |j| (i, j))) {
            voters.extend(people.iter().map(|own| through(*own, &[key(i, own.0[3]), key(j, own.0[3] + 10)])));
        }
        for (i, j) in (0..10).flat_map(|i| (0..10).map(move |j| (i, j))) {
            voters.push(through(mallory, &[people[0], people[1], key(i, 7), key(j, 8)]));
        }
        assert_eq!(count(&voters, 4), Found::Enough);
        assert_eq!(count(&voters, 5), Found::TooFew);
    }

    /// P7: a search that is too long ends, and says that it was not finished.
    #[test]
    fn a_long_search_is_given_up() {
        // Each row is one intermediate's, and each column one key that all of them have certified.
        let rows = |rows: u32, columns: u32| -> Vec<Voter> {
            let pairs = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            pairs.map(|(row, column)| through(key(row, 9), &[key(column, 7)])).collect()
        };
        assert_eq!(count(&rows(12, 11), 11), Found::Enough);
        assert_eq!(count(&rows(12, 11), 12), Found::GivenUp);
        assert_eq!(count(&rows(4, 3), 4), Found::TooFew);
    }
}
