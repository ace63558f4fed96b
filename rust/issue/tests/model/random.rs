//! Random worlds. Most of what is in them is good, and every now and then something is not: where everything is wrong, only the
//! first rule is ever looked at.

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};

/// 2027-01-15T08:00:00Z; the times of a world are some `TICK`s from it.
pub(crate) const NOW: u64 = 1_800_000_000;
/// Some of them are a day (T1, L10).
const TICK: u64 = 8_640;

pub(crate) const ACME: Key = 1;
pub(crate) const SEALED: Key = 2;
/// A CA that nobody trusts.
const STRANGER: Key = 3;
const INTERMEDIATES: [Key; 3] = [0x11, 0x12, 0x13];
const PEOPLE: [Key; 4] = [0x21, 0x22, 0x23, 0x24];
const DELEGATES: [Key; 2] = [0x31, 0x32];
const CACHE: Key = 0x41;
const LABELS: [Text; 5] = ["alice", "bob", "carol", "dora", "team"];
const SERIALS: u64 = 6;
const PATTERNS: [Text; 7] = ["*", "hello@", "hel*", "sudo@", "*-?.*", "linux-headers@", "linux@"];
const NAMES: [Text; 4] = ["hello-2.12", "hello-2.12", "sudo-1.9", "linux-headers-6.1"];
const HOSTS: [Text; 4] = ["*", "web-?", "web-*", "db-1"];

/// The generator of Steele, Lea and Flood (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// One in so many.
    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn some<T: Clone + Ord>(&mut self, items: &[T], most: usize) -> BTreeSet<T> {
        (0..1 + self.below(most)).map(|_| self.pick(items)).collect()
    }

    /// So many ticks from [`NOW`], or a second beside it.
    fn time(&mut self, ticks: &[i64]) -> u64 {
        let tick = self.pick(ticks);
        let beside = self.pick(&[0, 0, 0, -1, 1]);
        (NOW as i64 + tick * TICK as i64 + beside) as u64
    }

    pub(crate) fn world(&mut self) -> World {
        let mut cas = BTreeMap::from([("acme-1", ACME)]);
        if self.one_in(2) {
            cas.insert("sealed-1", SEALED);
        }
        let mut world = World {
            object: Object {
                realisation: self.one_in(6),
                store: if self.one_in(20) { "/gnu/store" } else { "/nix/store" },
                name: self.pick(&NAMES),
            },
            signatures: vec![],
            host: if self.one_in(2) { Some(self.pick(&["web-1", "db-1"])) } else { None },
            cas,
            plain_keys: BTreeMap::from([("cache.example.org-1", CACHE)]),
            broken: self.one_in(60),
            clock: NOW,
            registered: None,
            policy: None,
            lists: vec![],
            unreadable: BTreeSet::new(),
        };
        if self.one_in(3) {
            world.clock = self.clock();
        }
        if self.one_in(2) {
            world.registered =
                Some(if self.one_in(12) { 0 } else { self.time(&[-30, -20, -8, -5, -3, 0, 5, 25]) });
        }
        let names: Vec<Text> = world.cas.keys().copied().collect();
        if !self.one_in(3) {
            world.policy = Some(self.policy(&names));
        }
        for _ in 0..self.pick(&[1, 1, 1, 2, 2, 3, 3, 4, 5]) {
            let signature = self.signature(&world);
            world.signatures.push(signature);
            if self.one_in(12) {
                let again = self.pick(&world.signatures);
                world.signatures.push(again);
            }
        }
        if self.one_in(80) {
            world.signatures.clear();
        }
        if self.one_in(2) {
            for _ in 0..self.pick(&[1, 1, 2, 2, 3, 4]) {
                let list = self.list(&world);
                world.lists.push(list);
            }
        }
        if self.one_in(25) {
            let ca = self.ca();
            world.unreadable.extend(world.cas.values().filter(|key| **key == ca));
        }
        world
    }

    fn clock(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => NOW * 3,
            _ => self.time(&[-40, -20, -10, 0, 10, 20, 30]),
        }
    }

    fn ca(&mut self) -> Key {
        match self.below(12) {
            0 => STRANGER,
            1..=4 => SEALED,
            _ => ACME,
        }
    }

    fn signature(&mut self, world: &World) -> Signature {
        let of_another = self.one_in(50);
        if self.one_in(12) {
            let name = if self.one_in(3) { "cache.example.org-2" } else { "cache.example.org-1" };
            let by = if self.one_in(3) { self.pick(&PEOPLE) } else { CACHE };
            return Signature::Plain { name, by, of_another };
        }
        let subject =
            if self.one_in(60) { self.pick(&[ACME, SEALED, INTERMEDIATES[0]]) } else { self.pick(&PEOPLE) };
        let chain = self.chain(world, subject, &[Use::Paths, Use::Realisations]);
        let label = if self.one_in(50) { self.pick(&LABELS) } else { chain[0].label };
        let by = if self.one_in(50) { self.pick(&PEOPLE) } else { chain[0].subject };
        Signature::Certified { label, chain, by, of_another }
    }

    /// A chain for this key. An intermediate that is met again has the same certificate, mostly.
    fn chain(&mut self, world: &World, subject: Key, usages: &[Use]) -> Vec<Certificate> {
        let intermediates = self.pick(&[0, 0, 0, 0, 1, 1, 1, 2, 2, 3]);
        let mut keys = vec![subject];
        while keys.len() <= intermediates {
            let key = self.pick(&INTERMEDIATES);
            // Once in a while a key comes twice; never as its own issuer, which is no certificate at all.
            if keys.last() != Some(&key) && (!keys.contains(&key) || self.one_in(8)) {
                keys.push(key);
            }
        }
        let mut ca = self.ca();
        if !world.cas.values().any(|known| *known == ca) && !self.one_in(3) {
            ca = ACME;
        }
        if keys.last() == Some(&ca) {
            ca = if ca == ACME { SEALED } else { ACME };
        }
        keys.push(ca);
        let mut chain: Vec<Certificate> = (0..keys.len() - 1)
            .map(|place| self.certificate(keys[place], keys[place + 1], place, usages))
            .collect();
        // A chain of which a part is missing, or was exchanged.
        if self.one_in(40) {
            let place = self.below(chain.len());
            chain.remove(place);
        }
        if chain.is_empty() || (chain.len() < 4 && self.one_in(60)) {
            let intermediate = self.pick(&INTERMEDIATES);
            chain.push(self.certificate(intermediate, ca, 1, usages));
        }
        chain
    }

    /// The certificate of a key that stands in this place of a chain. 0 is the leaf's.
    fn certificate(&mut self, subject: Key, issuer: Key, place: usize, usages: &[Use]) -> Certificate {
        let mut usages: BTreeSet<Use> = usages.iter().copied().collect();
        if place > 0 {
            usages.extend([Use::Issue, Use::Paths, Use::Realisations]);
            if !self.one_in(4) {
                usages.insert(Use::Revoke);
            }
        }
        let place_of_key = usize::from(subject) % 16;
        let label = match () {
            () if self.one_in(4) => self.pick(&LABELS),
            () if place > 0 => ["team", "team-1", "team-2", "team-3"][place_of_key % 4],
            () => LABELS[place_of_key % LABELS.len()],
        };
        let mut certificate = Certificate {
            serial: if self.one_in(4) {
                1 + self.below(SERIALS as usize) as u64
            } else {
                u64::from(subject) << 8
            },
            label,
            subject,
            issuer,
            signed_by: if self.one_in(80) { self.pick(&[ACME, SEALED, PEOPLE[0]]) } else { issuer },
            not_before: NOW - 20 * TICK,
            not_after: NOW + 20 * TICK,
            usages,
            path_length: if place > 0 && self.one_in(10) { 0 } else { 2 },
            permitted: set(&["*"]),
            excluded: BTreeSet::new(),
            hosts: set(&["*"]),
            stores: BTreeSet::new(),
        };
        if self.one_in(6) {
            self.narrow(&mut certificate);
        }
        certificate
    }

    fn narrow(&mut self, certificate: &mut Certificate) {
        match self.below(10) {
            0 => certificate.not_before = self.time(&[-40, -10, -5, 0, 5]),
            1 => certificate.not_after = self.time(&[-10, -5, 0, 6, 30]).max(certificate.not_before + 1),
            2 | 8 => {
                let lost = self.pick(&[Use::Paths, Use::Realisations, Use::Issue, Use::Revoke]);
                certificate.usages.remove(&lost);
                if certificate.usages.is_empty() {
                    certificate.usages.insert(Use::Revoke);
                }
            }
            3 if self.one_in(3) => _ = certificate.usages.insert(Use::Issue),
            4 => certificate.permitted = self.some(&PATTERNS, 2),
            5 => certificate.excluded = self.some(&PATTERNS[1..], 2),
            6 | 9 => certificate.hosts = self.some(&HOSTS, 2),
            _ => certificate.stores = self.some(&["/nix/store", "/gnu/store"], 2),
        }
    }

    fn policy(&mut self, cas: &[Text]) -> Policy {
        let mut policy = Policy { lower_bound: self.one_in(4), broken: self.one_in(40), ..Policy::default() };
        if self.one_in(5) {
            policy.earliest = Some(self.time(&[-30, -10, 0, 10, 20, 25]));
        }
        if self.one_in(8) {
            policy.protected = self.some(&PATTERNS[1..], 2);
            policy.protected_audit = self.one_in(2);
        }
        for name in cas {
            if !self.one_in(15) {
                let rules = self.rules();
                policy.cas.insert(name, rules);
            }
        }
        if self.one_in(2) {
            for _ in 0..self.pick(&[1, 1, 2, 3]) {
                let known: Vec<Text> = policy.cas.keys().copied().collect();
                let authorities = !known.is_empty() && self.one_in(4);
                policy.thresholds.push(Threshold {
                    names: if self.one_in(3) { self.some(&PATTERNS, 2) } else { set(&["*"]) },
                    votes: self.pick(&[1, 2, 2, 2, 2, 3, 3, 4]),
                    authorities: authorities.then(|| self.some(&known, 2)),
                    separate: self.one_in(4),
                    audit: self.one_in(4),
                });
            }
        }
        policy
    }

    fn rules(&mut self) -> Rules {
        let mut rules = Rules {
            permitted: set(&["*"]),
            excluded: BTreeSet::new(),
            usages: set(&[Use::Paths, Use::Realisations]),
            longest: None,
            deepest: None,
            missing: None,
            unreadable: None,
            oldest: None,
            audit: Codes::new(),
        };
        for _ in 0..self.pick(&[0, 0, 1, 1, 2]) {
            let rule = self.below(8);
            match rule {
                0 => _ = rules.usages.remove(&self.pick(&[Use::Paths, Use::Realisations])),
                1 => rules.longest = Some(self.pick(&[10, 25, 40]) * TICK + self.below(2) as u64),
                2 => rules.deepest = Some(self.pick(&[0, 0, 1, 2])),
                3 => rules.excluded = self.some(&PATTERNS[1..], 2),
                4 => rules.permitted = self.some(&PATTERNS, 2),
                5 => rules.unreadable = Some(self.pick(&[Doubt::Accept, Doubt::Accept, Doubt::Refuse])),
                6 => rules.missing = Some(self.pick(&[Doubt::Accept, Doubt::Refuse])),
                _ => rules.oldest = Some(self.pick(&[3, 5, 10, 30]) * TICK),
            }
            if self.one_in(2) {
                rules.audit.extend(AUDITED.get(rule));
            }
        }
        if rules.oldest.is_some() {
            rules.missing = rules.missing.filter(|missing| *missing == Doubt::Refuse);
        }
        rules
    }

    /// A list that says something about what was signed, mostly.
    fn list(&mut self, world: &World) -> List {
        let ca = if self.one_in(12) { self.ca() } else { ACME };
        let chain = if self.one_in(2) { vec![] } else { self.delegation(world) };
        let ca = chain.last().map_or(ca, |last| if self.one_in(20) { ca } else { last.issuer });
        let signer = chain.first().map_or(ca, |leaf| leaf.subject);
        let signed_by = if self.one_in(25) { self.pick(&[ACME, SEALED, DELEGATES[0]]) } else { signer };
        let issued = self.time(&[-25, -15, -10, -5, -5, 0, 0, 0, 10, 20]);
        let mut known = chains(world);
        let others: Vec<_> =
            world.lists.iter().map(|list| &list.chain).filter(|chain| !chain.is_empty()).collect();
        if chain.is_empty() && !others.is_empty() && !self.one_in(3) {
            // L11 is about those who signed other lists.
            known = others;
        }
        let mut entries = BTreeMap::new();
        for _ in 0..self.pick(&[0, 1, 1, 1, 2, 3]) {
            let selector = match known.is_empty() || self.one_in(8) {
                true => Selector::Label(self.pick(&LABELS)),
                false => {
                    let chain = self.pick(&known);
                    let certificate = self.pick(chain);
                    self.pick(&[
                        Selector::Serial(certificate.serial),
                        Selector::Key(certificate.subject),
                        Selector::Label(certificate.label),
                    ])
                }
            };
            let since = self.time(&[-30, -10, -4, -4, 0]).min(issued);
            let extent = if self.one_in(2) { Extent::Retired } else { Extent::Compromised(since) };
            entries.insert(selector, extent);
        }
        List { ca, chain, signed_by, issued, entries }
    }

    /// The chain of a delegate; often below intermediates that somebody signed through.
    fn delegation(&mut self, world: &World) -> Vec<Certificate> {
        let delegate = self.pick(&DELEGATES);
        let known = chains(world);
        if known.is_empty() || self.one_in(2) {
            return self.chain(world, delegate, &[Use::Revoke]);
        }
        let above = self.pick(&known);
        let start = self.below(above.len()) + 1;
        let mut chain: Vec<Certificate> = above[start..].to_vec();
        for certificate in &mut chain {
            if !self.one_in(12) {
                certificate.usages.insert(Use::Revoke);
            }
        }
        let issuer = chain.first().map_or(above[above.len() - 1].issuer, |issuer| issuer.subject);
        chain.insert(0, self.certificate(delegate, issuer, 0, &[Use::Revoke]));
        chain
    }
}

/// In the order of [`Random::rules`].
const AUDITED: [Text; 5] = [
    "usage-not-in-policy",
    "validity-too-long",
    "chain-too-deep",
    "name-excluded-by-policy",
    "name-not-permitted-by-policy",
];

fn chains(world: &World) -> Vec<&Vec<Certificate>> {
    let chains = world.signatures.iter().filter_map(|signature| match signature {
        Signature::Certified { chain, .. } => Some(chain),
        Signature::Plain { .. } => None,
    });
    chains.collect()
}
