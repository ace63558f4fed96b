//! Smaller worlds, to find the smallest in which something is wrong.

use crate::world::*;
use std::collections::BTreeSet;

/// Make a world smaller for as long as it `fails`.
pub(crate) fn smallest(world: World, fails: impl Fn(&World) -> bool) -> World {
    let mut world = world;
    while let Some(smaller) = simpler(&world).into_iter().find(&fails) {
        world = smaller;
    }
    world
}

/// Worlds in which one thing less is said.
fn simpler(world: &World) -> Vec<World> {
    let mut all = vec![];
    let mut push = |change: &dyn Fn(&mut World)| {
        let mut smaller = world.clone();
        change(&mut smaller);
        if format!("{smaller:?}") != format!("{world:?}") {
            all.push(smaller);
        }
    };
    for i in 0..world.signatures.len() {
        push(&|world| _ = world.signatures.remove(i));
    }
    for i in 0..world.lists.len() {
        push(&|world| _ = world.lists.remove(i));
    }
    push(&|world| world.policy = None);
    push(&|world| world.registered = None);
    push(&|world| world.host = None);
    push(&|world| world.broken = false);
    push(&|world| world.unreadable.clear());
    push(&|world| world.clock = crate::random::NOW);
    push(&|world| world.object.realisation = false);
    for (i, list) in world.lists.iter().enumerate() {
        for selector in list.entries.keys() {
            push(&|world| _ = world.lists[i].entries.remove(selector));
        }
        for place in 0..list.chain.len() {
            push(&|world| _ = world.lists[i].chain.remove(place));
            push(&|world| plain(&mut world.lists[i].chain[place]));
        }
    }
    for (i, signature) in world.signatures.iter().enumerate() {
        let Signature::Certified { chain, .. } = signature else { continue };
        for place in 0..chain.len() {
            if chain.len() > 1 {
                push(&|world| with_chain(world, i, &|chain| _ = chain.remove(place)));
            }
            push(&|world| with_chain(world, i, &|chain| plain(&mut chain[place])));
        }
    }
    if let Some(policy) = &world.policy {
        for i in 0..policy.thresholds.len() {
            push(&|world| with_policy(world, &|policy| _ = policy.thresholds.remove(i)));
            push(&|world| with_policy(world, &|policy| policy.thresholds[i].audit = false));
            push(&|world| with_policy(world, &|policy| policy.thresholds[i].authorities = None));
        }
        push(&|world| with_policy(world, &|policy| policy.protected.clear()));
        push(&|world| with_policy(world, &|policy| policy.earliest = None));
        push(&|world| with_policy(world, &|policy| policy.lower_bound = false));
        push(&|world| with_policy(world, &|policy| policy.broken = false));
        for name in policy.cas.keys() {
            push(&|world| with_rules(world, name, &|rules| rules.audit.clear()));
            push(&|world| with_rules(world, name, &|rules| rules.excluded.clear()));
            push(&|world| with_rules(world, name, &|rules| rules.permitted = set(&["*"])));
            push(&|world| with_rules(world, name, &|rules| (rules.longest, rules.deepest) = (None, None)));
            push(&|world| with_rules(world, name, &|rules| (rules.missing, rules.oldest) = (None, None)));
        }
    }
    all
}

/// A certificate without anything special.
fn plain(certificate: &mut Certificate) {
    certificate.permitted = set(&["*"]);
    certificate.excluded = BTreeSet::new();
    certificate.hosts = set(&["*"]);
    certificate.stores = BTreeSet::new();
    certificate.signed_by = certificate.issuer;
    certificate.path_length = 2;
}

fn with_chain(world: &mut World, signature: usize, change: &dyn Fn(&mut Vec<Certificate>)) {
    if let Signature::Certified { chain, .. } = &mut world.signatures[signature] {
        change(chain);
    }
}

fn with_policy(world: &mut World, change: &dyn Fn(&mut Policy)) {
    world.policy.iter_mut().for_each(change);
}

fn with_rules(world: &mut World, ca: Text, change: &dyn Fn(&mut Rules)) {
    world.policy.iter_mut().filter_map(|policy| policy.cas.get_mut(ca)).for_each(change);
}
