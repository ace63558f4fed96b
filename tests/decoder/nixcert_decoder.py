#!/usr/bin/env python3
"""A verifier of nixcert certificate signatures, written from FORMAT.md alone, to check the vectors in tests/vectors.

Usage: python3 nixcert_decoder.py VECTOR.json...

A vector is of a signed object, or of a revocation list (in tests/vectors/lists), or of a closure that shall be a system (in
tests/vectors/closures). For each it prints `ok NAME` or `DISAGREES NAME: expected … got …`. It exits 0 only if there was a
vector and all agree.
Slow and without side channels in mind: for vectors, not for use. The standard library is all it needs (Python 3.11).
The numbers in the comments are those of the rules of FORMAT.md. N5 is for those who sign, L10 for who takes up new lists:
nothing here enforces them.
"""

import base64
import collections
import dataclasses
import datetime
import functools
import hashlib
import json
import pathlib
import re
import sys
from dataclasses import dataclass, field

CHECKS_PER_OBJECT = 65536        # D7
MAX_NAME_BYTES = 14000           # N1
MAX_CERTIFICATES = 4             # section 2: a leaf and three intermediates
MAX_CERTIFICATE_BYTES = 2048     # F1
MAX_TIME = 253402300799          # C1
IMPORT_PATHS, IMPORT_REALISATIONS, VOUCH_FOR_SYSTEMS, ISSUE, REVOKE, ALL_USAGES = 0x01, 0x02, 0x04, 0x08, 0x10, 0x1F  # F6
PERMITTED_NAMES, EXCLUDED_NAMES, HOSTS, STORE_DIRECTORIES = 1, 2, 3, 4         # section 3, constraints

MAX_LIST_BYTES = 67108864        # L1
MAX_DELEGATES_LIST_BYTES = 1048576  # L1
DAY = 86400                      # T1
SERIAL, KEY, LABEL_OF = 1, 2, 3  # section 11: the kinds of an entry
RETIRED, COMPROMISED = 1, 2      # section 11: the extents
CAUSES = {0: "unspecified", 1: "key-compromise", 3: "affiliation-changed", 4: "superseded", 5: "cessation-of-operation"}
MAX_INTERMEDIATES = 3            # N1
MAX_VOTES = 16                   # P6
VOTE_STEPS = 100000              # P7
MAX_STATEMENT_BYTES = 2048       # S2
MAX_CLOSURE_SIGNATURES = 65536   # G8
MAX_CLOSURE_PATHS = 1000000      # G8

# Section 8: the later the row, the further the signature came.
ROWS = """no-signatures malformed-object too-many-signatures malformed-signature unknown-key broken-configuration malformed-name
name-too-long chain-too-long malformed-certificate unknown-version unknown-algorithm unknown-usage unknown-constraint untrusted-ca
issuer-mismatch repeated-key issuer-as-leaf not-an-issuer path-length-exceeded bad-certificate-signature weak-key label-mismatch
bad-signature not-yet-valid expired missing-usage store-directory-not-permitted host-name-not-configured host-not-permitted
name-excluded name-not-permitted revocation-list-missing revocation-list-unreadable revocation-list-too-old retired compromised
ca-not-in-policy usage-not-in-policy validity-too-long chain-too-deep name-excluded-by-policy name-not-permitted-by-policy
protected-name too-few-votes""".split()

# Section 13: what a closure signature is refused for. Those of section 8 first, then those of its statement.
CLOSURE_ROWS = ROWS + """malformed-statement statement-of-another-path statement-of-another-host statement-expired
statement-in-the-future older-deployment""".split()

class Refused(Exception):
    """Its only argument is the reason code."""

def require(condition, reason):
    if not condition:
        raise Refused(reason)

# --- The decision (section 7) -----------------------------------------------------------------------------------------
@dataclass
class StoreObject:
    fingerprint: bytes
    name: bytes
    store_directory: bytes
    usage: int
    path: bytes = b""  # of a store object

@dataclass
class Host:
    name: bytes | None
    ca_keys: dict      # key -> name
    public_keys: dict  # name -> keys
    broken: bool       # the CA keys, the host name or the policy cannot be read
    clock: int         # what the system's clock says
    registered: int | None
    policy: "Policy"
    lists: list        # the revocation lists that can be used
    unreadable: set    # the keys of CAs of which it holds a list that cannot

    def now(self, ca):
        """T1: the latest of these."""
        return max([self.clock, self.policy.earliest_time] + proven_times(self, ca))

    def registration(self, ca):
        """D2: a time of registration of 0 or later than now is none."""
        return self.registered if self.registered and self.registered <= self.now(ca) else None

class Budget:
    """D7: how many more signatures of this object may be checked against a key."""

    def __init__(self):
        self.left = CHECKS_PER_OBJECT

    def spend(self):
        require(self.left > 0, "too-many-signatures")
        self.left -= 1

def verify(vector):
    """Returns accepted, the object's reason, the reason of each entry of `signatures`, and what audit mode reports."""
    try:
        obj = read_object(vector)
    except Refused as refused:
        return False, refused.args[0], [], []
    host = read_host(vector)
    budget = Budget()
    # D7: nothing has been verified before this object, so the order is the given one. D6: each is judged on its own.
    judged = [judge_entry(entry, obj, host, budget) for entry in vector["signatures"]]
    good = [chain for reason, chain in judged if reason is None]  # the chain of each that counts; None for a plain key
    reasons = [reason for reason, _ in judged]
    chains = [chain for chain in good if chain]
    if None in good:
        return True, None, reasons, []  # D10: a plain signature needs no votes; P8: nothing would be refused
    if not good:
        return False, max(reasons, key=ROWS.index, default="no-signatures"), reasons, []  # section 8
    if any(not met(threshold, obj, host, chains) for threshold in host.policy.thresholds if not threshold.audit):
        return False, "too-few-votes", reasons, []  # section 8
    return True, None, reasons, reported(obj, host, chains)

def reported(obj, host, chains):
    """P8: what rules in audit mode would have said, where the object would be refused if no rule were in it."""
    said = {code for chain in chains for code, _ in objections(chain, obj, host)}
    strict = [chain for chain in chains if not objections(chain, obj, host)]
    unmet = [threshold for threshold in host.policy.thresholds if not met(threshold, obj, host, strict)]
    if strict and not unmet:
        return []
    if strict and any(threshold.audit for threshold in unmet):
        said.add("too-few-votes")
    return sorted(said, key=ROWS.index)

def judge_entry(entry, obj, host, budget):
    if isinstance(entry, str):
        return judge_text(entry, obj, host, budget)
    junk = (b"\xff" * 60 + i.to_bytes(4, "big") for i in range(entry["junk"]))
    texts = (entry["name"] + ":" + base64.b64encode(data).decode() for data in junk)
    [reason] = {judge_text(text, obj, host, budget)[0] for text in texts}  # the same for each of them
    return reason, None

def judge_text(text, obj, host, budget):
    """A reason, or None and the chain; no chain for a plain key."""
    try:
        return None, judge_signature(text, obj, host, budget)
    except Refused as refused:
        return refused.args[0], None

def judge_signature(text, obj, host, budget):
    name, signature = read_signature(text)
    certified = ".nixcert1." in name                                     # section 2
    plain_keys = host.public_keys.get(name, [])
    if plain_keys:                                                       # D5: tried as a plain signature first
        budget.spend()
        if any(signature_valid(key, obj.fingerprint, signature) for key in plain_keys):
            return None
        require(certified, "bad-signature")
    require(certified, "unknown-key")                                    # D5
    require(not host.broken, "broken-configuration")                     # section 8
    chain, reason = chain_or_reason(name, frozenset(host.ca_keys))       # D1
    require(chain, reason)
    budget.spend()                                                       # D7: one that is tried both ways counts twice
    require(signature_valid(chain[0].subject, obj.fingerprint, signature), "bad-signature")  # D1, N4
    check_time(chain, host)
    check_admission(chain, obj, host)
    check_revocation(chain, host)
    for code, audit in objections(chain, obj, host):                     # D10
        require(audit, code)
    return chain

def ca_of(chain):
    return chain[-1].issuer

def valid_at(chain, instant):
    return all(c.not_before <= instant < c.not_after for c in chain)

def check_time(chain, host):
    """D2: one instant for the whole chain. The reason tells of the first instant, now."""
    now, registered = host.now(ca_of(chain)), host.registration(ca_of(chain))
    not_before_asked = host.policy.clock_exact                                                            # T3
    valid_now = valid_at(chain, now) if not_before_asked else all(now < c.not_after for c in chain)
    if not valid_now and not (registered and valid_at(chain, registered)):
        raise Refused("not-yet-valid" if not_before_asked and any(now < c.not_before for c in chain) else "expired")

def check_admission(chain, obj, host):
    """D3 and D4: every certificate, not only the leaf."""
    require(all(c.usages & obj.usage for c in chain), "missing-usage")                                     # D3
    directories = [c.constraints.get(STORE_DIRECTORIES, [b"/nix/store"]) for c in chain]                   # K2
    require(all(obj.store_directory in items for items in directories), "store-directory-not-permitted")
    check_hosts(chain, host)
    require(not any(names_match(c.constraints.get(EXCLUDED_NAMES, []), obj.name) for c in chain), "name-excluded")
    require(all(names_match(c.constraints[PERMITTED_NAMES], obj.name) for c in chain), "name-not-permitted")

def check_hosts(chain, host):
    """K5"""
    if host.name is None:
        require(all(b"*" in c.constraints[HOSTS] for c in chain), "host-name-not-configured")
    else:
        require(all(any(glob_matches(p, host.name) for p in c.constraints[HOSTS]) for c in chain), "host-not-permitted")

# --- Revocation (section 11) and the host's lists ----------------------------------------------------------------------
def check_revocation(chain, host):
    """D9."""
    ca = ca_of(chain)
    rules = host.policy.rules_for_lists(host.ca_keys[ca])
    require(ca not in host.unreadable or rules.unreadable_accepted, "revocation-list-unreadable")          # L12
    own = own_lists(host, ca)
    if not own:
        require(rules.missing_accepted, "revocation-list-missing")                                        # L12
    elif rules.oldest is not None:
        require(host.now(ca) - own[0].issued <= rules.oldest, "revocation-list-too-old")                  # L12
    subjects = {c.subject for c in chain}
    for held in counting_lists(host, ca):
        if {c.subject for c in held.chain[1:]} <= subjects:                                               # L8
            for extent, since in revoked_by(held, chain):
                check_extent(extent, since, chain, host)

def check_extent(extent, since, chain, host):
    """L5."""
    registered = host.registration(ca_of(chain))
    if extent == RETIRED:
        require(registered, "retired")
    else:
        was_before = registered and registered < since and valid_at(chain, registered) and host.policy.clock_exact
        require(was_before, "compromised")

def revoked_by(held, chain):
    """L4: what a list says of the certificates of a chain."""
    selectors = {selector for c in chain for selector in ((SERIAL, c.serial), (KEY, c.subject), (LABEL_OF, c.label))}
    return [(extent, since) for kind, value, extent, since, _ in held.entries if (kind, value) in selectors]

def newest_lists(host, ca):
    """L9: the newest of each signer."""
    of_ca = [held for held in host.lists if held.ca == ca]
    return [held for held in of_ca if held.issued == max(other.issued for other in of_ca if other.signer == held.signer)]

def own_lists(host, ca):
    """The list that the CA itself signed. (Two of one second are two: which of them L9 means, it does not say.)"""
    return [held for held in newest_lists(host, ca) if held.signer == ca]

def said_of_signer(held, host, ca):
    """L11: what the CA's own list says of the certificates of a delegate's chain."""
    return [extent for own in own_lists(host, ca) for extent, _ in revoked_by(own, held.chain)]

def counting_lists(host, ca):
    return [held for held in newest_lists(host, ca) if COMPROMISED not in said_of_signer(held, host, ca)]  # L11

def proven_times(host, ca):
    """T1: of the CA's own list; and, less a day, of delegates whom the CA itself certified, and has not revoked (L11)."""
    delegates = [held for held in newest_lists(host, ca) if len(held.chain) == 1 and not said_of_signer(held, host, ca)]
    return [own.issued for own in own_lists(host, ca)] + [held.issued - DAY for held in delegates]

# --- The host's policy (section 12) -----------------------------------------------------------------------------------
@dataclass
class Threshold:
    names: list
    votes: int
    authorities: list | None
    separate: bool
    audit: bool

@dataclass
class Authority:
    permitted_names: list
    excluded_names: list
    usages: int
    longest_validity: int | None
    deepest_chain: int
    missing_accepted: bool
    unreadable_accepted: bool
    oldest: int | None
    audit: list

@dataclass
class Policy:
    """A host without one decides as this one does."""
    clock_exact: bool = True
    earliest_time: int = 0
    protected_names: list = field(default_factory=list)
    protected_audit: bool = False
    authorities: dict | None = None  # by the CA's name
    thresholds: list = field(default_factory=list)
    activation: "Activation | None" = None

    def rules_for_lists(self, ca):
        return (self.authorities or {}).get(ca) or Authority([], [], 0, None, 0, True, False, None, [])

def objections(chain, obj, host):
    """P2 to P5: codes, each with whether its rule is in audit mode."""
    found = []
    if host.policy.authorities is not None:
        rules = host.policy.authorities.get(host.ca_keys[ca_of(chain)])
        if rules is None:
            found.append(("ca-not-in-policy", False))                                                     # P2
        else:
            found += rule_objections(chain, obj, rules)
    if names_match(host.policy.protected_names, obj.name):
        found.append(("protected-name", host.policy.protected_audit))                                     # P5
    return found

def rule_objections(chain, obj, rules):
    too_long = rules.longest_validity is not None and chain[0].not_after - chain[0].not_before > rules.longest_validity
    broken = [
        ("usages", "usage-not-in-policy", not rules.usages & obj.usage),                                  # P3
        ("longest-validity", "validity-too-long", too_long),                                              # P3
        ("deepest-chain", "chain-too-deep", len(chain) - 1 > rules.deepest_chain),                        # P3
        ("excluded-names", "name-excluded-by-policy", names_match(rules.excluded_names, obj.name)),       # P4
        ("permitted-names", "name-not-permitted-by-policy", not names_match(rules.permitted_names, obj.name)),  # P4
    ]
    return [(code, rule in rules.audit) for rule, code, is_broken in broken if is_broken]

def met(threshold, obj, host, chains):
    """P6."""
    if not names_match(threshold.names, obj.name):
        return True
    return enough_votes([marks(chain, threshold.separate) for chain in voters(threshold, host, chains)], threshold.votes)

def voters(threshold, host, chains):
    """Those whose CA gives votes, in the order of P7."""
    if threshold.authorities is not None:
        chains = [chain for chain in chains if host.ca_keys[ca_of(chain)] in threshold.authorities]
    crowds = collections.Counter(chain[-1].subject for chain in chains if chain[1:])
    return sorted(chains, key=lambda chain: crowds[chain[-1].subject] if chain[1:] else 0)  # P7: the fewest first

def marks(chain, separate):
    """P6: what two votes must not have in common."""
    counted = chain[:1] if separate else chain
    return {(KEY, c.subject) for c in counted} | {(LABEL_OF, c.label) for c in counted}

def enough_votes(voters, wanted):
    """Every choice is tried, until one is found or P7 lets it be given up."""
    steps = VOTE_STEPS

    def search(start, taken, left):
        nonlocal steps
        if left == 0:
            return True
        for i in range(start, len(voters) - left + 1):
            steps -= 1
            if steps < 0:
                return False
            if not taken & voters[i] and search(i + 1, taken | voters[i], left - 1):
                return True
        return False

    return search(0, frozenset(), wanted)

# --- The activation gate (section 13) ---------------------------------------------------------------------------------
@dataclass
class Activation:
    """G1."""
    threshold: Threshold  # of its names nothing is asked
    required: bool
    caller_must_sign: bool
    vendors: dict         # name -> key

@dataclass
class Statement:
    """S2."""
    data: bytes
    path: bytes
    digest: bytes
    paths: int
    hosts: list
    signed: int
    not_after: int

@dataclass
class Deployment:
    host: Host
    activation: Activation
    paths: list    # of the vector, the top-level path first
    objects: list  # the same, read
    digest: bytes
    last: Statement | None
    judged: list   # for each closure signature of the top-level path: reason, statement, chain

    def covering(self):
        """G2 (c): the chains of closure signatures in force, of a statement that has the digest and the count."""
        wanted = self.digest, len(self.paths)
        return [chain for reason, said, chain in self.judged if reason is None and (said.digest, said.paths) == wanted]

def verify_closure(vector):
    """The gate's reason, that of each closure signature of the top-level path, and what each path rests on (G2)."""
    host = read_host({**vector, "registered": None})  # G2: judged now
    activation = host.policy.activation
    if host.broken:
        return "broken-configuration", [], []  # G1
    if activation is None:
        return "no-activation-policy", [], []  # G1
    require(len(vector["paths"]) <= MAX_CLOSURE_PATHS, "closure-too-large")  # G8
    last = None if vector["last"] is None else read_statement(decode_base64(vector["last"]))
    objects = [read_path_object(path["fingerprint"].encode(), VOUCH_FOR_SYSTEMS) for path in vector["paths"]]
    deployment = Deployment(host, activation, vector["paths"], objects, closure_digest(objects), last, [])
    texts = filter(is_closure_signature, vector["paths"][0]["signatures"])
    deployment.judged = [judge_closure_signature(text, i, deployment) for i, text in enumerate(texts)]
    bases = [basis(i, deployment) for i in range(len(objects))]
    reason = None if vector["again"] else unsigned(vector["caller"], deployment)  # G7
    return reason or ("not-vouched-for" if None in bases else None), [row[0] for row in deployment.judged], bases

def is_closure_signature(text):
    return ".nixcert1-closure." in text.partition(":")[0]                # S1

def closure_digest(objects):
    """S4"""
    return hashlib.sha256(b"".join(fingerprint + b"\n" for fingerprint in sorted(obj.fingerprint for obj in objects))).digest()

def judge_closure_signature(text, index, deployment):
    try:
        require(index < MAX_CLOSURE_SIGNATURES, "too-many-signatures")   # G8
        return None, *closure_signature_in_force(text, deployment)
    except Refused as refused:
        return refused.args[0], None, None

def closure_signature_in_force(text, deployment):
    """G3 to G5: the statement and the chain."""
    host, top = deployment.host, deployment.objects[0]
    name, signature = read_signature(text)
    label, encoded, certificates = read_name(CLOSURE_NAME, name)         # S1, N1
    said = read_statement(decode_base32(encoded))
    chain = chain_of(label, certificates, host.ca_keys)                  # S1, N2, N3
    require(signature_valid(chain[0].subject, b"nixcert1.closure\0" + said.data, signature), "bad-signature")  # S3
    check_counts(chain, top, host)                                       # G3
    require(said.path == top.path, "statement-of-another-path")          # G3
    check_statement(said, chain, host, deployment.last)
    return said, chain

def check_statement(said, chain, host, last):
    """G4 and G5."""
    now = host.now(ca_of(chain))
    if host.name is None:
        require(b"*" in said.hosts, "host-name-not-configured")
    require(b"*" in said.hosts or any(glob_matches(p, host.name) for p in said.hosts), "statement-of-another-host")
    require(now < said.not_after, "statement-expired")
    require(all(said.signed < c.not_after for c in chain), "statement-in-the-future")
    require(not host.policy.clock_exact or said.signed <= now + DAY, "statement-in-the-future")
    require(last is None or said.signed > last.signed or said.data == last.data, "older-deployment")  # G5

def read_statement(data):
    """S2."""
    bad = "malformed-statement"
    require(data is not None and len(data) <= MAX_STATEMENT_BYTES, bad)
    r = Reader(data, bad)
    require(r.number(1) == 1 and r.number(1) == 1, bad)                  # F2
    path = r.bytes(r.number(2))
    require(is_store_path(path), bad)                                    # O3
    digest, paths = r.bytes(32), r.number(4)
    hosts = read_constraint(HOSTS, r.bytes(r.number(2)), bad)            # F10, K5
    signed, not_after = read_time_field(r), read_time_field(r)
    require(r.done() and paths != 0 and signed < not_after, bad)
    return Statement(data, path, digest, paths, hosts, signed, not_after)

def is_store_path(path):
    try:
        return bool(read_store_path(path))
    except Refused:
        return False

def check_counts(chain, obj, host):
    """G2, of a chain: D2 to D4 and D8 to D10, with the usage of the gate and without audit mode."""
    check_time(chain, host)
    check_admission(chain, obj, host)
    check_revocation(chain, host)
    for code, _ in objections(chain, obj, host):
        raise Refused(code)

def counts(chain, obj, host):
    try:
        check_counts(chain, obj, host)
        return True
    except Refused:
        return False

def signers_of(i, deployment):
    """G2 (d): the chains of the signatures of the path itself by those who count."""
    obj, host, chains = deployment.objects[i], deployment.host, []
    for text in deployment.paths[i]["signatures"]:
        try:
            name, signature = read_signature(text)
            require(".nixcert1." in name and not is_closure_signature(text), "unknown-key")  # S1
            chain, reason = chain_or_reason(name, frozenset(host.ca_keys))
            require(chain, reason)
            require(signature_valid(chain[0].subject, obj.fingerprint, signature), "bad-signature")
            check_counts(chain, obj, host)
            chains.append(chain)
        except Refused:
            pass
    return chains

def by_vendor(i, deployment):
    """G2 (b), D5."""
    for text in deployment.paths[i]["signatures"]:
        name, colon, encoded = text.partition(":")
        key, signature = deployment.activation.vendors.get(name), decode_base64(encoded)
        if key and signature is not None and len(signature) == 64 and not is_closure_signature(text):
            if signature_valid(key, deployment.objects[i].fingerprint, signature):
                return True
    return False

def basis(i, deployment):
    """What G2 says of a path, in the words and the order of tests/vectors/README.md. The first path is the top-level one."""
    host, covering, top = deployment.host, deployment.covering(), i == 0
    covered = [chain for chain in covering if counts(chain, deployment.objects[i], host)]  # as if they had signed it
    everywhere = [chain for chain in covered if not asks_for_names(chain, host)]
    signers = signers_of(i, deployment)
    if votes_suffice(everywhere, deployment):
        return "closure-signature"
    if not top and by_vendor(i, deployment):
        return "vendor"
    if any(votes_suffice(covered + signers, deployment, among=chain) for chain in covered):
        return "closure-signature"
    if votes_suffice(signers, deployment):
        return "signatures"
    if any(holds_on(earlier, deployment, top) for earlier in deployment.paths[i].get("earlier", [])):
        return "earlier-generation"
    if not top and deployment.paths[i].get("content_addressed"):
        return "content-addressed"
    return None

def asks_for_names(chain, host):
    """Whether any rule looks at the names of what this chain vouches for."""
    policy = host.policy
    rules = policy.authorities[host.ca_keys[ca_of(chain)]]
    permitted = [c.constraints[PERMITTED_NAMES] for c in chain] + [rules.permitted_names]
    excluded = [c.constraints.get(EXCLUDED_NAMES, []) for c in chain] + [rules.excluded_names, policy.protected_names]
    return any(excluded) or not all(b"*" in patterns for patterns in permitted)

def votes_suffice(chains, deployment, among=None):
    """G1, P6; with `among`, whether there is a choice that has this chain in it."""
    threshold, host = deployment.activation.threshold, deployment.host
    chains = voters(threshold, host, chains)
    if among is None:
        return enough_votes([marks(chain, threshold.separate) for chain in chains], threshold.votes)
    taken = marks(among, threshold.separate)
    others = [marks(chain, threshold.separate) for chain in chains]
    return among in chains and enough_votes([other for other in others if not taken & other], threshold.votes - 1)

def holds_on(earlier, deployment, top):
    """G2 (e), for one earlier deployment."""
    host, people = deployment.host, []
    for voucher in earlier["vouchers"]:
        if voucher == "itself" or "vendor" in voucher:
            if not top:
                return True
        else:
            people += still_vouching(voucher["person"], earlier["activated"], host)
    return votes_suffice(people, deployment)

def still_vouching(name, activated, host):
    """The chain, in a list, if it is under a CA that is still trusted and not compromised; else none."""
    chain, _ = chain_or_reason(name, frozenset(host.ca_keys))
    if chain is None or host.ca_keys[ca_of(chain)] not in host.policy.authorities:
        return []
    try:
        check_revocation(chain, dataclasses.replace(host, registered=activated))  # L5, L12
        return [chain]
    except Refused:
        return []

def unsigned(caller, deployment):
    """G6: the reason why statement and caller do not suffice, or None."""
    top, activation = deployment.objects[0], deployment.activation
    in_force = [(said, chain) for reason, said, chain in deployment.judged if reason is None]
    signers = collections.defaultdict(list)  # by statement
    for said, chain in in_force:
        signers[said.data].append(chain)
    enough = {said: chains for said, chains in signers.items() if votes_suffice(chains, deployment)}
    if activation.required and not enough:
        refused = [reason for reason, _, _ in deployment.judged if reason]
        if in_force or not refused:
            return "too-few-votes" if in_force else "closure-signature-missing"
        return max(refused, key=CLOSURE_ROWS.index)
    if activation.caller_must_sign:
        people = [chain for chains in enough.values() for chain in chains]
        people += [chain for chain in deployment.covering() if counts(chain, top, deployment.host)]
        people += signers_of(0, deployment)
        people = voters(activation.threshold, deployment.host, people)   # of CAs that are asked for votes; G6 does not say so
        if caller is None or caller.encode() not in {chain[0].label for chain in people}:
            return "caller-has-not-signed"
    return None

# How a policy is written down is not in FORMAT.md: this is tests/vectors/README.md.

class BrokenPolicy(Exception):
    """P1"""

def understood(condition):
    if not condition:
        raise BrokenPolicy

def read_table(table, required, optional):
    """The values of an object, None for those that are absent. Nothing else may be in it."""
    understood(isinstance(table, dict) and set(required) <= set(table) <= set(required) | set(optional))
    understood(None not in table.values())
    return [table.get(key) for key in list(required) + list(optional)]

def read_policy(table):
    keys = ("clock", "earliest-time", "revocation-lists", "protected-names", "audit", "ca", "threshold", "activation")
    version, clock, earliest, lists, protected, audit, cas, thresholds, activation = read_table(table, ["version"], keys)
    understood(is_number(version, 1, 1))
    understood(lists is None or isinstance(lists, str) and lists.startswith("/"))
    audit = read_words(audit or [], ["protected-names"])
    protected = read_patterns(protected or [])
    understood(protected or not audit)
    understood(isinstance(cas or {}, dict) and isinstance(thresholds or [], list))
    authorities = {name: read_rules(rules, lists is not None) for name, rules in (cas or {}).items()}
    return Policy(
        clock_exact=read_word(clock, ["exact", "lower-bound"]) == "exact",
        earliest_time=read_time(earliest) if earliest is not None else 0,
        protected_names=protected,
        protected_audit=bool(audit),
        authorities=authorities,
        thresholds=[read_threshold(threshold, authorities) for threshold in thresholds or []],
        activation=read_activation(activation, authorities) if activation is not None else None,
    )

def read_rules(table, has_lists):
    keys = ("excluded-names", "longest-validity", "deepest-chain", "missing-list", "unreadable-list", "oldest-list", "audit")
    permitted, usages, excluded, validity, depth, missing, unreadable, oldest, audit = read_table(
        table, ["permitted-names", "usages"], keys)
    understood(permitted and usages)
    understood(has_lists or missing is None and unreadable is None and oldest is None)
    understood(not (missing == "accept" and oldest is not None))
    understood(depth is None or is_number(depth, 0, MAX_INTERMEDIATES))
    bits = {"import-paths": IMPORT_PATHS, "import-realisations": IMPORT_REALISATIONS, "vouch-for-systems": VOUCH_FOR_SYSTEMS}
    doubts = ["refuse", "accept"]
    return Authority(
        permitted_names=read_patterns(permitted),
        excluded_names=read_patterns(excluded or []),
        usages=sum(bits[word] for word in set(read_words(usages, bits))),
        longest_validity=read_span(validity) if validity is not None else None,
        deepest_chain=MAX_INTERMEDIATES if depth is None else depth,
        missing_accepted=oldest is None if missing is None else read_word(missing, doubts) == "accept",
        unreadable_accepted=read_word(unreadable, doubts) == "accept",
        oldest=read_span(oldest) if oldest is not None else None,
        audit=read_words(audit or [], ["permitted-names", "excluded-names", "usages", "longest-validity", "deepest-chain"]),
    )

def read_threshold(table, known):
    keys = ("authorities", "through-one-intermediate", "audit")
    names, votes, authorities, together, audit = read_table(table, ["names", "votes"], keys)
    understood(names)
    understood(audit in (None, True, False))
    return read_votes(read_patterns(names), votes, authorities, together, bool(audit), known)

def read_votes(names, votes, authorities, together, audit, known):
    understood(is_number(votes, 1, MAX_VOTES))
    understood(authorities is None or authorities and read_words(authorities, known))
    separate = read_word(together, ["one-vote", "separate-votes"]) == "separate-votes"
    return Threshold(names, votes, authorities, separate, audit)

def read_activation(table, known):
    votes, authorities, together, signature, caller, vendors, contents, records = read_table(table, [], (
        "votes", "authorities", "through-one-intermediate", "closure-signature", "caller-must-sign", "vendors",
        "verify-contents", "records"))
    threshold = read_votes([b"*"], 1 if votes is None else votes, authorities, together, False, known)
    asked = known if authorities is None else authorities
    understood(any(known[name].usages & VOUCH_FOR_SYSTEMS for name in asked))
    understood(caller in (None, True, False))
    vendors = [] if vendors is None else vendors
    understood(isinstance(vendors, list) and all(isinstance(entry, str) for entry in vendors))
    keys = [read_public_key(entry) for entry in vendors]
    understood(ca_keys_readable(keys))                                   # K6
    read_word(contents, ["never", "always"])
    understood(records is None or isinstance(records, str) and records.startswith("/"))
    required = read_word(signature, ["required", "optional"]) == "required"
    return Activation(threshold, required, bool(caller), dict(keys))

def is_number(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

def read_word(word, words):
    """The first is the default."""
    understood(word is None or word in words)
    return words[0] if word is None else word

def read_words(words, known):
    understood(isinstance(words, list) and all(isinstance(word, str) and word in known for word in words))
    return words

def read_patterns(patterns):
    understood(isinstance(patterns, list) and all(isinstance(p, str) and name_pattern_ok(p.encode()) for p in patterns))
    return [pattern.encode() for pattern in patterns]

def read_span(text):
    match = isinstance(text, str) and re.fullmatch(r"([1-9][0-9]*)([smhdw])", text)
    understood(match)
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]

def read_time(text):
    match = isinstance(text, str) and re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?", text)
    understood(match)
    try:
        time = datetime.datetime.fromisoformat(match[1] + (match[2] or "T00:00:00Z"))
    except ValueError:
        raise BrokenPolicy from None
    understood(time.year >= 1970)
    return int(time.timestamp())

# --- The host's configuration -----------------------------------------------------------------------------------------
def read_host(vector):
    name = None if vector["host"] is None else vector["host"].encode()
    broken = name is not None and not re.fullmatch(rb"[a-z0-9.-]{1,253}", name)  # K5
    ca_keys = [read_public_key(entry) for entry in vector["trusted_ca_keys"]]
    broken = broken or not ca_keys_readable(ca_keys)  # K6
    public_keys = {}
    for entry in map(read_public_key, vector["trusted_public_keys"]):
        if entry is not None:  # a broken plain entry names no key
            public_keys.setdefault(entry[0], [entry[1]])  # D5: of two with one name, the first
    trusted = {entry[1]: entry[0] for entry in ca_keys if entry is not None}
    policy = Policy()
    try:
        policy = read_policy(vector["policy"]) if "policy" in vector else policy
    except BrokenPolicy:
        broken = True  # P1
    host = Host(name, trusted, public_keys, broken, vector["now"], vector["registered"], policy, [], set())
    for entry in vector.get("revocation_lists", []):
        hold(entry, host)
    return host

def hold(entry, host):
    """L12: of a list that cannot be used it is known only that it is there."""
    if isinstance(entry, dict):
        host.unreadable |= {key for key, name in host.ca_keys.items() if name == entry["unreadable"]}
        return
    held = read_list(decode_base64(entry))
    try:
        check_list(held, host)
        host.lists.append(held)
    except Refused:
        host.unreadable.add(held.ca)

def ca_keys_readable(entries):
    """K6: well-formed, C4 admits each, and names and keys belong together one to one."""
    if not all(entry and re.fullmatch(r"[A-Za-z0-9+\-._]+", entry[0]) for entry in entries):
        return False
    distinct = set(entries)
    one_to_one = len({name for name, _ in distinct}) == len(distinct) == len({key for _, key in distinct})
    return one_to_one and all(".nixcert1." not in name and point_of(key) for name, key in distinct)

def read_public_key(text):
    name, colon, encoded = text.partition(":")
    key = decode_base64(encoded)
    return (name, key) if name and colon and key is not None and len(key) == 32 else None

# --- The signature and its name (section 2) ---------------------------------------------------------------------------
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
CERTIFICATES = r"([a-z2-7]+(?:\.[a-z2-7]+)*)"  # their number is looked at apart
NAME = re.compile(rf"({LABEL})\.nixcert1\.{CERTIFICATES}")
CLOSURE_NAME = re.compile(rf"({LABEL})\.nixcert1-closure\.([a-z2-7]+)\.{CERTIFICATES}")  # section 13

def read_signature(text):
    name, colon, encoded = text.partition(":")  # N1: the name ends at the first colon
    signature = decode_base64(encoded)
    require(name and colon and signature is not None and len(signature) == 64, "malformed-signature")
    return name, signature

def decode_base64(text):
    """C3: the one encoding of some bytes, or None."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None

def decode_base32(text):
    """C2: lower case, no padding, unused bits zero. None for what encodes nothing."""
    if len(text) % 8 in (1, 3, 6) or not re.fullmatch("[a-z2-7]*", text):
        return None
    decoded = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    return decoded if base64.b32encode(decoded).decode().rstrip("=").lower() == text else None

@functools.lru_cache(maxsize=None)
def chain_or_reason(name, ca_keys):
    """Section 5: whether a chain is verified depends on neither object, host nor time, so it is remembered."""
    try:
        return verified_chain(name, ca_keys), None
    except Refused as refused:
        return None, refused.args[0]

def verified_chain(name, ca_keys):
    return chain_of(*read_name(NAME, name), ca_keys)

def read_name(grammar, name):
    require(len(name.encode()) <= MAX_NAME_BYTES, "name-too-long")        # N1
    match = grammar.fullmatch(name)
    require(match, "malformed-name")                                      # N1
    return match.groups()

def chain_of(label, certificates, ca_keys):
    encoded = certificates.split(".")
    require(len(encoded) <= MAX_CERTIFICATES, "chain-too-long")           # section 2
    decoded = [decode_base32(text) for text in encoded]
    require(None not in decoded, "malformed-name")                        # N2, C2
    require(all(len(data) <= MAX_CERTIFICATE_BYTES for data in decoded), "name-too-long")  # F1
    chain = [read_certificate(data) for data in decoded]
    check_chain(chain, ca_keys)
    require(chain[0].label == label.encode(), "label-mismatch")           # N3
    return chain

# --- The chain (section 5) --------------------------------------------------------------------------------------------
def check_chain(chain, ca_keys):
    leaf, intermediates = chain[0], chain[1:]
    require(all(below.issuer == above.subject for below, above in zip(chain, chain[1:])), "issuer-mismatch")  # V1
    require(chain[-1].issuer in ca_keys, "untrusted-ca")                                                  # V1
    keys = [c.subject for c in chain] + [chain[-1].issuer]
    require(len(set(keys)) == len(keys), "repeated-key")                                                  # V2
    require(not leaf.usages & ISSUE and leaf.subject not in ca_keys, "issuer-as-leaf")                    # V4
    require(all(c.usages & ISSUE for c in intermediates), "not-an-issuer")                                # V4
    require(all(c.path_length >= below for below, c in enumerate(intermediates)), "path-length-exceeded")  # V5
    require(all(signature_valid(c.issuer, c.signed_message, c.signature) for c in chain), "bad-certificate-signature")  # V3
    require(all(point_of(key) is not None for key in keys), "weak-key")                                   # F4

# --- The certificate (section 3) --------------------------------------------------------------------------------------
@dataclass
class Certificate:
    serial: int
    label: bytes
    subject: bytes
    issuer: bytes
    not_before: int
    not_after: int
    usages: int
    path_length: int | None
    constraints: dict  # kind -> items
    signed_message: bytes
    signature: bytes

class Reader:
    """Takes fields from the front of some bytes."""

    def __init__(self, data, reason):
        self.data, self.at, self.reason = data, 0, reason

    def bytes(self, count):
        require(self.at + count <= len(self.data), self.reason)
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.bytes(count), "big")  # C1

    def done(self):
        return self.at == len(self.data)

def read_certificate(data):
    bad = "malformed-certificate"
    r = Reader(data, bad)
    read_header(r)                                                       # F2
    serial = r.number(8)
    require(serial != 0, bad)                                            # section 3
    label = read_label(r)
    subject, issuer = r.bytes(32), r.bytes(32)
    require(subject != issuer, bad)                                      # F4; its other half is in check_chain
    not_before, not_after = r.number(8), r.number(8)
    require(not_before < not_after <= MAX_TIME, bad)                     # F3, C1
    usages = r.number(1)
    require(not usages & ~ALL_USAGES, "unknown-usage")                   # F6
    require(usages != 0, bad)                                            # F6
    path_length = r.number(1) if usages & ISSUE else None                # F7
    count = r.number(1)
    require(2 <= count <= 16, bad)
    constraints = {kind: read_constraint(kind, value, bad) for kind, value in read_entries(r, count)}
    require(PERMITTED_NAMES in constraints and HOSTS in constraints, bad)  # K1
    count = r.number(1)
    require(count <= 16, bad)
    read_entries(r, count)                                               # F9: none is known, all are ignored
    signed_message = b"nixcert1.certificate\0" + data[:r.at]             # F5
    signature = r.bytes(64)
    require(r.done(), bad)                                               # F1
    return Certificate(serial, label, subject, issuer, not_before, not_after, usages, path_length, constraints, signed_message,
                       signature)

def read_header(r):
    require(r.number(1) == 1, "unknown-version")                         # F2
    require(r.number(1) == 1, "unknown-algorithm")                       # F2

def read_label(r):
    label = r.bytes(r.number(1))
    require(re.fullmatch(LABEL.encode(), label), r.reason)               # section 2, which bounds the length too
    return label

def read_entries(r, count):
    entries = [(r.number(1), r.bytes(r.number(2))) for _ in range(count)]
    require(strictly_ascending([kind for kind, _ in entries]), r.reason)  # F8
    return entries

def strictly_ascending(items):
    return all(a < b for a, b in zip(items, items[1:]))

def read_constraint(kind, value, bad):
    item_ok = {PERMITTED_NAMES: name_pattern_ok, EXCLUDED_NAMES: name_pattern_ok, HOSTS: host_pattern_ok,
               STORE_DIRECTORIES: directory_ok}.get(kind)
    require(item_ok, "unknown-constraint")                               # F9
    r, items = Reader(value, bad), []
    while not r.done():
        items.append(r.bytes(r.number(1)))
    require(items and strictly_ascending(items), bad)                    # F10
    require(all(item and item_ok(item) for item in items), bad)          # F10, K2, K4, K5
    return items

# --- The revocation list (section 11) ---------------------------------------------------------------------------------
@dataclass
class RevocationList:
    ca: bytes
    certificates: list  # their bytes
    chain: list         # the same, read; known only after check_list
    issued: int
    entries: list       # (kind, value, extent, since, cause); read only by check_list
    signed_message: bytes
    signature: bytes

    @property
    def signer(self):
        return self.chain[0].subject if self.chain else self.ca

def read_list(data):
    bad = "malformed-list"
    require(len(data) <= MAX_LIST_BYTES, bad)                            # L1
    r = Reader(data, bad)
    read_header(r)                                                       # L2, F2
    ca = r.bytes(32)
    count = r.number(1)
    require(count <= MAX_CERTIFICATES, bad)                              # L2
    require(count == 0 or len(data) <= MAX_DELEGATES_LIST_BYTES, bad)    # L1
    certificates = [r.bytes(r.number(2)) for _ in range(count)]
    require(all(len(data) <= MAX_CERTIFICATE_BYTES for data in certificates), bad)  # L2
    issued = read_time_field(r)
    require(len(data) - r.at >= 64, bad)
    signed_message = b"nixcert1.revocation\0" + data[:-64]               # L3
    return RevocationList(ca, certificates, [], issued, Reader(data[r.at:-64], bad), signed_message, data[-64:])

def read_revocations(r, issued):
    count, entries = r.number(4), []
    while len(entries) < count:
        entries.append(read_revocation(r, issued))
    require(strictly_ascending([entry[:2] for entry in entries]), r.reason)  # L4; bytes of one kind compare as L4 says
    require(r.done(), r.reason)                                          # L1
    return entries

def read_revocation(r, issued):
    kind = r.number(1)
    require(kind in (SERIAL, KEY, LABEL_OF), r.reason)                   # L2
    value = r.number(8) if kind == SERIAL else r.bytes(32) if kind == KEY else read_label(r)
    require(value != 0, r.reason)                                        # the table: a serial is not zero
    extent = r.number(1)
    require(extent in (RETIRED, COMPROMISED), r.reason)                  # L2
    since = read_time_field(r) if extent == COMPROMISED else None
    require(since is None or since <= issued, r.reason)                  # L5
    cause = r.number(1)
    require(cause in CAUSES, r.reason)                                   # L2
    return kind, value, extent, since, cause

def read_time_field(r):
    time = r.number(8)
    require(time <= MAX_TIME, r.reason)                                  # C1
    return time

def check_list(held, host):
    """L6 and L7."""
    require(held.ca in host.ca_keys, "untrusted-ca")
    chain = [read_certificate(data) for data in held.certificates]
    if chain:
        check_chain(chain, host.ca_keys)
        require(ca_of(chain) == held.ca, "list-of-another-ca")
    held.chain = chain
    require(signature_valid(held.signer, held.signed_message, held.signature), "bad-list-signature")
    require(all(c.usages & REVOKE for c in chain), "missing-usage")
    check_hosts(chain, host)
    require(all(c.not_before <= held.issued for c in chain), "not-yet-valid")
    require(all(held.issued < c.not_after for c in chain), "expired")
    held.entries = read_revocations(held.entries, held.issued)

def verify_list(vector):
    """The reason, or what is in the list."""
    host = read_host({**vector, "now": 0, "registered": None, "trusted_public_keys": []})
    try:
        held = read_list(decode_base64(vector["list"]))
        check_list(held, host)
    except Refused as refused:
        return refused.args[0], None
    encode_key = lambda key: base64.b64encode(key).decode()
    entries = []
    for kind, value, extent, since, cause in held.entries:
        shown = {SERIAL: lambda: f"{value:016x}", KEY: lambda: encode_key(value), LABEL_OF: lambda: value.decode()}[kind]()
        entry = {"kind": {SERIAL: "serial", KEY: "key", LABEL_OF: "label"}[kind], "value": shown}
        entry |= {"extent": "retired"} if extent == RETIRED else {"extent": "compromised", "since": since}
        entries.append(entry | {"cause": CAUSES[cause]})
    return None, {"ca": encode_key(held.ca), "signer": encode_key(held.signer), "issued": held.issued, "entries": entries}

def read_request(line):
    """Section 4, R1: the label and the key that a request asks for. No vector has one."""
    bad = "malformed-request"
    match = re.fullmatch(rf"({LABEL})\.nixcert1-request\.([a-z2-7]+)\n?", line)
    data = match and decode_base32(match[2])
    require(data, bad)
    r = Reader(data, bad)
    read_header(r)
    label, subject = read_label(r), r.bytes(32)
    message, signature = b"nixcert1.request\0" + data[:r.at], r.bytes(64)
    require(r.done() and label == match[1].encode(), bad)
    require(point_of(subject) is not None, "weak-key")
    require(signature_valid(subject, message, signature), "bad-signature")
    return label, subject

# --- Patterns (section 3, constraints) --------------------------------------------------------------------------------
def directory_ok(item):
    """K2: absolute, not ending in a slash, no empty, `.` or `..` component."""
    return re.fullmatch(rb"(/[A-Za-z0-9+._-]+)+", item) and not {b".", b".."} & set(item.split(b"/"))

def name_pattern_ok(item):
    if item.endswith(b"@"):                                              # K4, a package
        package = item[:-1]
        return re.fullmatch(rb"[A-Za-z0-9+._=-]{1,210}", package) and package_of(package) == package
    return re.fullmatch(rb"[A-Za-z0-9+._=?*-]{1,211}", item) and b"**" not in item  # K4, a glob

def host_pattern_ok(item):
    return re.fullmatch(rb"[a-z0-9.?*-]{1,253}", item) and b"**" not in item  # K5

def package_of(name):
    """K4: what Nix's parseDrvName takes for the package."""
    dash = re.search(rb"-[^A-Za-z]", name, re.DOTALL)
    return name[:dash.start()] if dash else name

def names_match(patterns, name):
    return any(p[:-1] == package_of(name) if p.endswith(b"@") else glob_matches(p, name) for p in patterns)

def glob_matches(pattern, text):
    """K4. Only the last star is ever tried again, so the time is at most the product of the lengths."""
    p = t = 0
    star = mark = None
    while t < len(text):
        if p < len(pattern) and pattern[p] == ord("*"):
            star, mark, p = p, t, p + 1
        elif p < len(pattern) and pattern[p] in (ord("?"), text[t]):
            p, t = p + 1, t + 1
        elif star is not None:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return pattern[p:] in (b"", b"*")

# --- The object (section 6) -------------------------------------------------------------------------------------------
NIX32 = rb"[0-9abcdfghijklmnpqrsvwxyz]"
JSON_STRING = rb'"[^"\\\x00-\x1f]*"'
JSON_PAIR = JSON_STRING + b":" + JSON_STRING
REALISATION = re.compile(rb'\{"dependentRealisations":\{((?:%b(?:,%b)*)?)\},"id":%b,"outPath":"([^"]*)"\}'
                         % (JSON_PAIR, JSON_PAIR, JSON_STRING))
OUTPUT_OF_DERIVATION = re.compile(
    rb'\{"key":\{"drvPath":"([^"]*)","outputName":"([^"]*)"\},"value":\{"outPath":"([^"]*)"\}\}')

def read_object(vector):
    fingerprint = vector["fingerprint"].encode()
    if vector["kind"] == "path":
        return read_path_object(fingerprint)
    if vector["kind"] == "realisation":
        return read_realisation(fingerprint, vector["store_directory"].encode())
    raise ValueError("unknown kind of object")

def read_path_object(fingerprint, usage=IMPORT_PATHS):
    """O1. A SHA-256 has 256 bits, 52 characters have 260: the first character is 0 or 1."""
    match = re.fullmatch(rb"1;([^;]*);sha256:[01]%b{51};([1-9][0-9]{0,19});([^;]*)" % NIX32, fingerprint)
    require(match and int(match[2]) < 2**64, "malformed-object")
    directory, name = read_store_path(match[1])
    references = match[3].split(b",") if match[3] else []
    require(strictly_ascending(references), "malformed-object")
    require(all(read_store_path(path)[0] == directory for path in references), "malformed-object")
    return StoreObject(fingerprint, name, directory, usage, match[1])

def read_realisation(fingerprint, store_directory):
    """O2. `outPath` and `drvPath` are DIGEST-NAME, without a directory."""
    match = OUTPUT_OF_DERIVATION.fullmatch(fingerprint)
    if match:
        derivation, output, name = read_base_name(match[1]), match[2], read_base_name(match[3])
        require(derivation.endswith(b".drv") and derivation != b".drv" and output, "malformed-object")
        require(name == derivation[:-4] + (b"" if output == b"out" else b"-" + output), "malformed-object")
        return StoreObject(fingerprint, name, store_directory, IMPORT_REALISATIONS)
    match = REALISATION.fullmatch(fingerprint)
    require(match, "malformed-object")
    dependencies = [pair.split(b'"')[1] for pair in re.findall(JSON_PAIR, match[1])]
    require(strictly_ascending(dependencies), "malformed-object")
    return StoreObject(fingerprint, read_base_name(match[2]), store_directory, IMPORT_REALISATIONS)

def read_store_path(path):
    """O3: directory and name."""
    directory, _, base = path.rpartition(b"/")
    require(directory_ok(directory), "malformed-object")
    return directory, read_base_name(base)

def read_base_name(base):
    match = re.fullmatch(rb"%b{32}-([A-Za-z0-9+._?=-]{1,211})" % NIX32, base)
    require(match and match[1].split(b"-")[0] not in (b".", b".."), "malformed-object")  # O3
    return match[1]                                                      # K3

# --- Ed25519 (C4; RFC 8032, section 5.1, without the cofactor) --------------------------------------------------------
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)  # extended coordinates X, Y, Z, T

def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    g, h = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P

def encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")

def small_order(point):
    for _ in range(3):
        point = add(point, point)
    return point[0] == 0 and point[1] == point[2]

@functools.lru_cache(maxsize=None)
def point_of(encoding):
    """The point that C4 admits: canonical, on the curve, not of small order. None if there is none."""
    number = int.from_bytes(encoding, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    point = (x, y, 1, x * y % P)
    return None if small_order(point) else point

BASE = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))

def signature_valid(key, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L or int.from_bytes(r, "little") & (2**255 - 1) >= P:  # the cheap refusals first
        return False
    point = point_of(key)
    if point is None:
        return False
    h = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    x, y, z, t = point
    result = sum_of_products(s, BASE, h, (P - x, y, z, P - t))
    return encode(result) == r and not small_order(result)

def sum_of_products(m, a, n, b):
    both, result = add(a, b), NEUTRAL
    for bit in reversed(range(253)):
        result = add(result, result)
        choice = (m >> bit & 1) + 2 * (n >> bit & 1)
        if choice:
            result = add(result, (a, b, both)[choice - 1])
    return result

# --- The vectors ------------------------------------------------------------------------------------------------------
def check(path):
    vector = json.loads(path.read_text(encoding="utf-8"))
    wanted = vector["expected"]
    try:
        if "list" in vector:
            expected, got = (wanted["reason"], wanted.get("list")), verify_list(vector)
        elif "paths" in vector:
            expected = wanted["reason"], wanted["closure_signatures"], wanted["bases"]
            got = verify_closure(vector)
        else:
            expected = wanted["accepted"], wanted["reason"], wanted["signatures"], wanted.get("audited", [])
            got = verify(vector)
    except Exception as fault:  # section 8: a fault of the verifier refuses
        expected, got = wanted, f"internal-error ({fault!r})"
    agrees = got == expected
    print(f"ok {path.stem}" if agrees else f"DISAGREES {path.stem}: expected {expected} got {got}")
    return agrees

def main(arguments):
    results = [check(pathlib.Path(argument)) for argument in arguments]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
