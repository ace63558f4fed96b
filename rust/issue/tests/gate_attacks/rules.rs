//! FORMAT section 13 once more: slow, simple, and sharing nothing with the verifier but the page.

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};

/// What must come out.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) in_force: Vec<bool>,
    /// For each path everything of G2 that holds.
    pub(crate) bases: Vec<BTreeSet<&'static str>>,
    /// None where it may be activated.
    pub(crate) refusal: Option<&'static str>,
}

pub(crate) fn expected(world: &World) -> Expected {
    let policy = &world.policy;
    let may_be_asked = |name: &&Text| policy.authorities.as_ref().is_none_or(|own| own.contains(*name));
    assert!(
        policy.cas.keys().filter(may_be_asked).any(|name| policy.cas[name].may_vouch),
        "no policy otherwise"
    );
    let in_force: Vec<bool> = world.closure_signatures.iter().map(|it| is_in_force(world, it)).collect();
    let good: Vec<&ClosureSignature> =
        world.closure_signatures.iter().zip(&in_force).filter(|(_, good)| **good).map(|(it, _)| it).collect();
    let bases: Vec<_> = (0..world.paths.len()).map(|index| bases(world, index, &good)).collect();
    let refusal = refusal(world, &good, &bases);
    Expected { in_force, bases, refusal }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|at| glob(&pattern[1..], &text[at..])),
        Some(first) => text.starts_with(first) && glob(&pattern[1..], &text[1..]),
    }
}

/// K4, of names that have a version.
fn matches(patterns: &BTreeSet<Text>, name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('@') {
        Some(package) => {
            name.strip_prefix(package).is_some_and(|rest| rest.starts_with("-1") || rest.is_empty())
        }
        None => glob(pattern, name),
    })
}

fn host_admitted(hosts: &BTreeSet<Text>, host: Option<Text>) -> bool {
    match host {
        Some(host) => hosts.iter().any(|pattern| glob(pattern, host)),
        None => hosts.contains("*"),
    }
}

fn ca_of(chain: &Chain) -> Key {
    chain[chain.len() - 1].issuer
}

fn ca_name(world: &World, chain: &Chain) -> Option<Text> {
    world.cas.iter().find(|(_, key)| **key == ca_of(chain)).map(|(name, _)| *name)
}

/// T1.
fn now(world: &World, chain: &Chain) -> u64 {
    NOW.max(world.lists.get(&ca_of(chain)).map_or(0, |list| list.issued))
}

/// V1 to V5.
fn is_verified(world: &World, chain: &Chain) -> bool {
    let linked = chain.windows(2).all(|pair| pair[0].issuer == pair[1].subject);
    let mut keys: Vec<Key> = chain.iter().map(|certificate| certificate.subject).collect();
    keys.push(ca_of(chain));
    let count = keys.len();
    let distinct = keys.iter().collect::<BTreeSet<_>>().len() == count;
    let trusted = ca_name(world, chain).is_some();
    let usages = !chain[0].issues && chain[1..].iter().all(|certificate| certificate.issues);
    let leaf_is_ca = world.cas.values().any(|key| *key == chain[0].subject);
    linked
        && distinct
        && trusted
        && usages
        && !leaf_is_ca
        && chain.iter().all(|certificate| !certificate.forged)
}

/// L4, L5, L12. `at` is the time of activation, where it is asked of the past.
fn is_revoked(world: &World, chain: &Chain, at: Option<u64>) -> bool {
    let rules = ca_name(world, chain).and_then(|ca| world.policy.cas.get(ca));
    let Some(list) = world.lists.get(&ca_of(chain)) else {
        return rules.is_some_and(|rules| rules.list_needed);
    };
    let at = at.filter(|at| *at > 0 && *at <= now(world, chain));
    chain.iter().any(|certificate| {
        let said = [list.labels.get(certificate.label), list.keys.get(&certificate.subject)];
        said.into_iter().flatten().any(|since| match (since, at) {
            (None, at) => at.is_none(),
            (Some(_), None) => true,
            (Some(since), Some(at)) => {
                let valid = chain.iter().all(|each| each.not_before <= at && at < each.not_after);
                !(at < *since && valid && !world.policy.lower_bound)
            }
        })
    })
}

/// G2, of who signed something with this name. The chain is verified, and the signature too.
fn counts(world: &World, chain: &Chain, name: &str) -> bool {
    let (now, policy) = (now(world, chain), &world.policy);
    let Some(rules) = ca_name(world, chain).and_then(|ca| policy.cas.get(ca)) else { return false };
    let each = |certificate: &Certificate| {
        (policy.lower_bound || certificate.not_before <= now)
            && now < certificate.not_after
            && certificate.vouches
            && matches(&certificate.permitted, name)
            && !matches(&certificate.excluded, name)
            && host_admitted(&certificate.hosts, world.host)
    };
    chain.iter().all(each)
        && !is_revoked(world, chain, None)
        && rules.may_vouch
        && chain.len() - 1 <= usize::from(rules.deepest)
        && matches(&rules.permitted, name)
        && !matches(&rules.excluded, name)
        && !matches(&policy.protected, name)
}

/// G3 to G5.
fn is_in_force(world: &World, signature: &ClosureSignature) -> bool {
    let ClosureSignature { chain, said, forged } = signature;
    if *forged || !is_verified(world, chain) || said.about == About::OtherPath {
        return false;
    }
    let now = now(world, chain);
    counts(world, chain, world.paths[0].name)
        && host_admitted(&said.hosts, world.host)
        && now < said.not_after
        && chain.iter().all(|certificate| said.signed < certificate.not_after)
        && (world.policy.lower_bound || said.signed <= now + DAY)
        && world.last.as_ref().is_none_or(|last| said.signed > last.signed || said == last)
}

/// G1, P6: every choice is tried.
fn votes(world: &World, chains: &[&Chain]) -> bool {
    let policy = &world.policy;
    let asked = |chain: &&&Chain| {
        policy.authorities.as_ref().is_none_or(|own| ca_name(world, chain).is_some_and(|ca| own.contains(ca)))
    };
    let mut voters: Vec<BTreeSet<(Key, Text)>> = Vec::new();
    for chain in chains.iter().filter(asked) {
        let counted = if policy.separate { 1 } else { chain.len() };
        let mut marks = BTreeSet::new();
        for certificate in &chain[..counted] {
            marks.insert((certificate.subject, ""));
            marks.insert((0, certificate.label));
        }
        if !voters.contains(&marks) {
            voters.push(marks);
        }
    }
    (0_u32..1 << voters.len()).any(|choice| {
        let chosen: Vec<_> =
            voters.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1).map(|(_, it)| it).collect();
        let marks: BTreeSet<_> = chosen.iter().copied().flatten().collect();
        chosen.len() >= usize::from(policy.votes)
            && marks.len() == chosen.iter().map(|it| it.len()).sum::<usize>()
    })
}

fn bases(world: &World, index: usize, good: &[&ClosureSignature]) -> BTreeSet<&'static str> {
    let (path, is_top) = (&world.paths[index], index == 0);
    let mut found = BTreeSet::new();
    let covering: Vec<&Chain> =
        good.iter().filter(|it| it.said.about == About::This).map(|it| &it.chain).collect();
    let covering: Vec<&Chain> =
        covering.into_iter().filter(|chain| counts(world, chain, path.name)).collect();
    let mut signers = Vec::new();
    for signature in path.signatures.iter().filter(|signature| signature.of == path.content) {
        match &signature.by {
            By::Itself => {}
            By::Vendor(name, key) => {
                if !is_top && world.policy.vendors.get(name) == Some(key) {
                    found.insert("vendor");
                }
            }
            By::Person(chain) => {
                if is_verified(world, chain) && counts(world, chain, path.name) {
                    signers.push(chain);
                }
            }
        }
    }
    if votes(world, &[covering.clone(), signers.clone()].concat()) {
        // Which of the votes is counted where there are more than are needed, nobody says.
        found.extend((!covering.is_empty()).then_some("closure-signature"));
        found.extend((covering.is_empty() || votes(world, &signers)).then_some("signatures"));
    }
    if path.earlier.iter().any(|(activated, vouchers)| holds_on(world, is_top, *activated, vouchers)) {
        found.insert("earlier-generation");
    }
    if !is_top && path.content_addressed == Some(true) {
        found.insert("content-addressed");
    }
    found
}

fn holds_on(world: &World, is_top: bool, activated: u64, vouchers: &[By]) -> bool {
    let mut people = Vec::new();
    for by in vouchers {
        match by {
            By::Itself | By::Vendor(..) if !is_top => return true,
            By::Itself | By::Vendor(..) => {}
            By::Person(chain) => {
                let known = ca_name(world, chain).is_some_and(|ca| world.policy.cas.contains_key(ca));
                if is_verified(world, chain) && known && !is_revoked(world, chain, Some(activated)) {
                    people.push(chain);
                }
            }
        }
    }
    votes(world, &people)
}

fn refusal(
    world: &World,
    good: &[&ClosureSignature],
    bases: &[BTreeSet<&'static str>],
) -> Option<&'static str> {
    let policy = &world.policy;
    let mut by_statement: BTreeMap<Vec<u8>, Vec<&Chain>> = BTreeMap::new();
    for it in good {
        let bytes = world.statement(&it.said).to_bytes().unwrap();
        by_statement.entry(bytes).or_default().push(&it.chain);
    }
    by_statement.retain(|_, chains| votes(world, chains));
    if !world.again && policy.required && by_statement.is_empty() {
        return Some(match (world.closure_signatures.is_empty(), good.is_empty()) {
            (true, _) => "closure-signature-missing",
            (false, true) => "a closure signature's",
            (false, false) => "too-few-votes",
        });
    }
    if !world.again && policy.caller_must_sign {
        let asked = |chain: &Chain| {
            policy
                .authorities
                .as_ref()
                .is_none_or(|own| ca_name(world, chain).is_some_and(|ca| own.contains(ca)))
        };
        let has_label = |chain: &Chain| Some(chain[0].label) == world.caller && asked(chain);
        let top = &world.paths[0];
        let covering = good.iter().filter(|it| it.said.about == About::This).map(|it| &it.chain);
        let signed =
            top.signatures.iter().filter(|signature| signature.of == top.content).filter_map(
                |it| match &it.by {
                    By::Person(chain) => Some(chain),
                    By::Itself | By::Vendor(..) => None,
                },
            );
        let vouches = bases[0].contains("closure-signature") || bases[0].contains("signatures");
        let by_path = signed.filter(|chain| is_verified(world, chain) && counts(world, chain, top.name));
        // Who vouched for an earlier generation has signed nothing of this one.
        let people: Vec<&Chain> = if vouches { covering.chain(by_path).collect() } else { vec![] };
        let by_statement = by_statement.into_values().flatten();
        if !people.into_iter().chain(by_statement).any(has_label) {
            return Some("caller-has-not-signed");
        }
    }
    bases.iter().any(BTreeSet::is_empty).then_some("not-vouched-for")
}
