//! Random worlds. Most of what is in them is good, and every now and then something is not.

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};

/// The generator of Steele, Lea and Flood (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

pub(crate) const CAS: [Key; 2] = [1, 2];
const STRANGER: Key = 3;
const INTERMEDIATES: [Key; 3] = [0x11, 0x12, 0x13];
const PEOPLE: [Key; 4] = [0x21, 0x22, 0x23, 0x24];
const VENDOR: Key = 0x31;
const LABELS: [Text; 4] = ["alice", "bob", "carol", "team"];
const NAMES: [Text; 4] = ["nixos-system-web", "sudo-1.9", "glibc-1.40", "motd"];
const PATTERNS: [Text; 4] = ["nixos-system-*", "sudo@", "glib*", "m*"];

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn patterns(&mut self, narrow: usize) -> BTreeSet<Text> {
        if self.one_in(narrow) { (0..3).map(|_| self.pick(&PATTERNS)).collect() } else { set(&["*"]) }
    }

    fn excluded(&mut self, narrow: usize) -> BTreeSet<Text> {
        if self.one_in(narrow) { set(&[self.pick(&PATTERNS)]) } else { set(&[]) }
    }

    fn hosts(&mut self) -> BTreeSet<Text> {
        if self.one_in(6) { set(&[self.pick(&["web-*", "web-1", "db-*"])]) } else { set(&["*"]) }
    }

    fn certificate(&mut self, subject: Key, issuer: Key, issues: bool) -> Certificate {
        let not_before = self.pick(&[NOW - DAY, NOW - DAY, NOW - DAY, NOW - DAY, NOW, NOW + 1]);
        Certificate {
            label: if issues { self.pick(&["team", "team", "alice"]) } else { self.pick(&LABELS) },
            subject,
            issuer,
            forged: self.one_in(60),
            not_before,
            not_after: self.pick(&[NOW + 9 * DAY, NOW + 9 * DAY, NOW + 9 * DAY, NOW + 2, NOW + HOUR]),
            vouches: !self.one_in(12),
            issues: issues != self.one_in(60),
            permitted: self.patterns(5),
            excluded: self.excluded(10),
            hosts: self.hosts(),
        }
    }

    fn chain(&mut self) -> Chain {
        let mut issuer = if self.one_in(40) { STRANGER } else { self.pick(&[CAS[0], CAS[0], CAS[1]]) };
        let mut chain = Vec::new();
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2]) {
            let others: Vec<Key> = INTERMEDIATES.into_iter().filter(|key| *key != issuer).collect();
            let subject = self.pick(&others);
            chain.insert(0, self.certificate(subject, issuer, true));
            issuer = subject;
        }
        let subject = self.pick(&PEOPLE);
        chain.insert(0, self.certificate(subject, issuer, false));
        chain
    }

    fn said(&mut self) -> Said {
        let signed =
            self.pick(&[NOW - HOUR, NOW - HOUR, NOW, NOW + 1, NOW - HOUR - 1, NOW + DAY, NOW + DAY + 1]);
        Said {
            signed,
            not_after: self
                .pick(&[NOW + 7 * DAY, NOW + 7 * DAY, NOW + 7 * DAY, NOW + 1, NOW])
                .max(signed + 1),
            hosts: self.hosts(),
            about: self.pick(&[About::This, About::This, About::This, About::OtherClosure, About::OtherPath]),
        }
    }

    pub(crate) fn world(&mut self) -> World {
        // Few of each, so that people meet again.
        let people: Vec<Chain> = (0..3).map(|_| self.chain()).collect();
        let said: Vec<Said> = (0..3).map(|_| self.said()).collect();
        let paths: Vec<Path> = (0..1 + self.below(4)).map(|index| self.path(NAMES[index], &people)).collect();
        let closure_signatures = (0..self.below(6)).map(|_| ClosureSignature {
            chain: self.pick(&people),
            said: self.pick(&said),
            forged: self.one_in(12),
        });
        let closure_signatures = closure_signatures.collect();
        let list = |random: &mut Self, ca: Key| random.one_in(2).then(|| (ca, random.list()));
        World {
            host: self.pick(&[Some("web-1"), Some("web-1"), Some("db-1"), None]),
            cas: BTreeMap::from([("acme", CAS[0]), ("labs", CAS[1])]),
            policy: self.policy(),
            lists: [list(self, CAS[0]), list(self, CAS[1])].into_iter().flatten().collect(),
            caller: self.pick(&[None, Some("alice"), Some("bob"), Some("carol")]),
            last: self.one_in(2).then(|| self.last(&said)),
            again: self.one_in(5),
            paths,
            closure_signatures,
            junk: vec![],
        }
    }

    fn last(&mut self, said: &[Said]) -> Said {
        let mut last = self.pick(said);
        last.about = self.pick(&[last.about, About::This]);
        last.signed = self.pick(&[last.signed, NOW - 2 * HOUR, NOW - HOUR]);
        last.not_after = last.not_after.max(last.signed + 1);
        last
    }

    fn path(&mut self, name: Text, people: &[Chain]) -> Path {
        let content = 1;
        let signatures = (0..self.below(4))
            .map(|_| Signature { of: if self.one_in(8) { 2 } else { content }, by: self.by(people) });
        let signatures = signatures.filter(|signature| signature.by != By::Itself).collect();
        let earlier = (0..self.pick(&[0, 0, 0, 1, 2])).map(|_| {
            let activated = self.pick(&[NOW - HOUR, NOW - 2 * HOUR, NOW - 3 * DAY, NOW + HOUR, 0]);
            (activated, (0..self.pick(&[1, 1, 2, 0])).map(|_| self.by(people)).collect())
        });
        let earlier = earlier.collect();
        let content_addressed = self.pick(&[None, None, Some(true), Some(false)]);
        Path { name, content, content_addressed, signatures, earlier }
    }

    fn by(&mut self, people: &[Chain]) -> By {
        match self.below(6) {
            0 => By::Itself,
            1 => By::Vendor(self.pick(&["cache-1", "old-1"]), self.pick(&[VENDOR, VENDOR, VENDOR + 1])),
            _ => By::Person(self.pick(people)),
        }
    }

    fn list(&mut self) -> List {
        let mut list = List {
            issued: self.pick(&[NOW - HOUR, NOW - HOUR, NOW + 2 * HOUR]),
            labels: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        for _ in 0..self.below(3) {
            let since = self.pick(&[None, Some(NOW - HOUR), Some(NOW - 2 * HOUR), Some(NOW - 4 * DAY)]);
            if self.one_in(2) {
                list.labels.insert(self.pick(&LABELS), since);
            } else {
                list.keys.insert(self.pick(&[PEOPLE.as_slice(), &INTERMEDIATES].concat()), since);
            }
        }
        list
    }

    fn policy(&mut self) -> Policy {
        let mut cas = BTreeMap::from([("acme", self.rules())]);
        cas.get_mut("acme").unwrap().may_vouch = true;
        if !self.one_in(4) {
            cas.insert("labs", self.rules());
        }
        Policy {
            lower_bound: self.one_in(6),
            protected: if self.one_in(10) { set(&[self.pick(&PATTERNS)]) } else { set(&[]) },
            authorities: self.one_in(3).then(|| set(&["acme"])),
            cas,
            votes: self.pick(&[1, 1, 1, 2, 2, 3]),
            separate: self.one_in(3),
            required: !self.one_in(3),
            caller_must_sign: self.one_in(3),
            vendors: BTreeMap::from([("cache-1", VENDOR)]),
        }
    }

    fn rules(&mut self) -> Rules {
        Rules {
            permitted: self.patterns(8),
            excluded: self.excluded(8),
            may_vouch: !self.one_in(8),
            audited: self.one_in(4),
            deepest: self.pick(&[3, 3, 3, 1, 0]),
            list_needed: self.one_in(8),
        }
    }
}
