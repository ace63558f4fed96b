//! The decision (FORMAT section 7), in one place.

use crate::certificate::{Certificate, Usage};
use crate::chain::{ChainCache, ChainError, VerifiedChain};
use crate::encoding::base64_decode;
use crate::key::PublicKey;
use crate::label::Serial;
use crate::limits::CHECKED_SIGNATURES;
use crate::name::{CertificateName, is_certificate_name};
use crate::object::{Object, ObjectKind, StorePath, shorten};
use crate::policy::{Mode, Objection, PolicyError, Threshold, VotesError};
use crate::reason::{CertificateId, Reason, ScopeError, SignatureError};
use crate::scope::{check_host, expired, outside_validity, valid_at};
use crate::time::{Moment, Times};
use crate::trust::{Anchors, PlainKey, Trust};
use crate::votes::{self, Found, Voter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a signature comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Counted(Signer),
    /// It does not, and has no effect on any other.
    Refused(Reason),
}

/// By whose key an object is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key in `trusted-public-keys`.
    Plain {
        /// Its name.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// A key that a CA in `trusted-ca-keys` certified.
    Certified {
        /// The key.
        key: PublicKey,
        /// The leaf's label.
        label: String,
        /// The leaf's serial number.
        serial: Serial,
        /// Who certified it: the CA's name in `trusted-ca-keys`, and the labels of the intermediates from there down,
        /// joined by `/` (which neither can contain). Label and serial mean something only together with this: an
        /// intermediate may issue a label and a serial that another has issued.
        authority: String,
    },
}

impl Signer {
    /// The key that signed.
    pub fn key(&self) -> PublicKey {
        match self {
            Self::Plain { key, .. } | Self::Certified { key, .. } => *key,
        }
    }
}

/// The whole answer about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One for each signature, in the order given. Those that count may still be too few: see `missing_votes`.
    pub signatures: Vec<Outcome>,
    /// The votes that the host's policy asks for, of certificates, and that are not there. Plain keys need none.
    pub missing_votes: Option<Reason>,
    /// If the object is accepted only because rules of the policy are in audit mode: what they would have said.
    pub audited: Vec<Reason>,
}

impl Verdict {
    /// Whether the object is accepted.
    pub fn accepted(&self) -> bool {
        self.signers().next().is_some()
    }

    /// By whose signatures the object is accepted. None of a certificate where votes are missing.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        let votes_suffice = self.missing_votes.is_none();
        self.counted().filter(move |signer| match signer {
            Signer::Plain { .. } => true,
            Signer::Certified { .. } => votes_suffice,
        })
    }

    /// Who signed, for each signature that counts.
    fn counted(&self) -> impl Iterator<Item = &Signer> {
        self.signatures.iter().filter_map(|outcome| match outcome {
            Outcome::Counted(signer) => Some(signer),
            Outcome::Refused(_) => None,
        })
    }

    /// The distinct keys by which the object is accepted (FORMAT D6).
    pub fn keys(&self) -> BTreeSet<PublicKey> {
        self.signers().map(Signer::key).collect()
    }

    /// Why the object is refused: for want of votes, or the reason of the signature that came furthest. `None` if it is
    /// accepted.
    pub fn reason(&self) -> Option<&Reason> {
        const NONE: &Reason = &Reason::NoSignatures;
        if self.accepted() {
            return None;
        }
        let refusals = self.signatures.iter().filter_map(|outcome| match outcome {
            Outcome::Refused(reason) => Some(reason),
            Outcome::Counted(_) => None,
        });
        self.missing_votes.as_ref().or_else(|| refusals.max_by_key(|reason| reason.rank())).or(Some(NONE))
    }
}

/// Judge an object by all its signatures at once.
///
/// Pure: the same arguments give the same verdict, whatever `cache` holds (up to FORMAT D7's limit, which chains in the
/// cache come under first). The cost is linear in the number of signatures, for a given object; a chain is checked once,
/// however many signatures claim it.
pub fn judge<S: AsRef<[u8]>>(
    object: &Object,
    signatures: &[S],
    trust: &Trust,
    times: Times,
    cache: &mut ChainCache,
) -> Verdict {
    let mut judgement = Judgement::new(object, usage_of(object.kind()), trust, times, cache);
    let results = judgement.signatures(signatures);
    judgement.inquiry.apply_policy(results)
}

/// What a signature of such an object is made for, at import.
pub(crate) fn usage_of(kind: ObjectKind) -> Usage {
    match kind {
        ObjectKind::Path => Usage::ImportPaths,
        ObjectKind::Realisation => Usage::ImportRealisations,
    }
}

/// A signature that counts, as far as it goes by itself.
pub(crate) enum Good {
    Plain(Signer),
    Certified(Vouched),
}

/// A certificate signature that counts by all but the host's policy.
pub(crate) struct Vouched {
    chain: Arc<VerifiedChain>,
    signer: Signer,
    leaf: CertificateId,
    /// What the policy has against it.
    objections: Vec<Objection>,
}

impl Vouched {
    pub(crate) fn chain(&self) -> &Arc<VerifiedChain> {
        &self.chain
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// What the policy refuses it for.
    pub(crate) fn refusal(&self) -> Option<Reason> {
        let enforced = self.objections.iter().find(|(mode, _)| *mode == Mode::Enforce);
        enforced.map(|(_, error)| Reason::Policy { certificate: self.leaf.clone(), error: error.clone() })
    }

    fn has_objection(&self, mode: Mode) -> bool {
        self.objections.iter().any(|(own, _)| *own == mode)
    }
}

pub(crate) struct Judgement<'a> {
    object: &'a Object,
    pub(crate) inquiry: Inquiry<'a>,
    trust: &'a Trust,
    cache: &'a mut ChainCache,
    /// Chains that were found bad for this object's signatures, so that junk is not checked twice.
    refused_chains: BTreeMap<Vec<u8>, Reason>,
    /// How many more signatures may be checked (FORMAT D7).
    checks_left: usize,
}

impl<'a> Judgement<'a> {
    /// For signatures that were made for this usage.
    pub(crate) fn new(
        object: &'a Object,
        usage: Usage,
        trust: &'a Trust,
        times: Times,
        cache: &'a mut ChainCache,
    ) -> Self {
        Self {
            object,
            inquiry: Inquiry { usage, path: object.store_path(), trust, times },
            trust,
            cache,
            refused_chains: BTreeMap::new(),
            checks_left: CHECKED_SIGNATURES,
        }
    }

    /// What each signature comes to, by all but the host's policy.
    pub(crate) fn signatures<S: AsRef<[u8]>>(&mut self, signatures: &[S]) -> Vec<Result<Good, Reason>> {
        // Known chains first: what was seen to be good before cannot be crowded out by what was not.
        let known = |index: &usize| {
            signatures.get(*index).is_some_and(|signature| self.knows_chain(signature.as_ref()))
        };
        let (known, unknown): (Vec<usize>, Vec<usize>) = (0..signatures.len()).partition(known);
        let mut outcomes = BTreeMap::new();
        for index in known.into_iter().chain(unknown) {
            let signature = signatures.get(index).map(AsRef::as_ref).unwrap_or_default();
            outcomes.insert(index, self.signature(signature));
        }
        outcomes.into_values().collect()
    }

    fn knows_chain(&self, signature: &[u8]) -> bool {
        split_signature(signature)
            .ok()
            .and_then(|(name, _)| CertificateName::parts(name).ok())
            .is_some_and(|(_, certificates)| self.cache.get(certificates, &self.trust.anchors).is_some())
    }

    /// D7: "At most 65,536 signatures of an object are checked"
    fn count_check(&mut self) -> Result<(), SignatureError> {
        self.checks_left = self.checks_left.checked_sub(1).ok_or(SignatureError::TooMany)?;
        Ok(())
    }

    fn signature(&mut self, signature: &[u8]) -> Result<Good, Reason> {
        let (name, payload) = split_signature(signature)?;
        let payload = decode_payload(payload)?;
        let certified = is_certificate_name(name);

        // D5: "A certificate signature whose whole name is that of a trusted public key is tried as a plain signature first."
        if let Some(PlainKey { key, usable }) = self.trust.public_keys.get(name) {
            self.count_check()?;
            if usable.is_some_and(|usable| usable.verifies(self.object.fingerprint(), &payload)) {
                return Ok(Good::Plain(Signer::Plain {
                    name: String::from_utf8_lossy(name).into_owned(),
                    key,
                }));
            }
            if !certified {
                return Err(Reason::BadSignature { certificate: None });
            }
        }
        if !certified {
            return Err(SignatureError::UnknownKey { name: shorten(&String::from_utf8_lossy(name)) }.into());
        }
        self.certificate_signature(name, &payload).map(Good::Certified)
    }

    fn certificate_signature(&mut self, name: &[u8], payload: &[u8; 64]) -> Result<Vouched, Reason> {
        if let Some(error) = &self.trust.broken {
            return Err(Reason::Configuration(error.clone()));
        }
        let chain = self.chain(name)?;
        let leaf = check_label(name, &chain)?;
        // D1: "the signature is valid for the leaf's subject key and the fingerprint"
        self.count_check()?;
        if !self.cache.verifies(&chain, self.object.fingerprint(), payload) {
            return Err(Reason::BadSignature { certificate: Some(leaf) });
        }
        self.inquiry.vouch(chain)
    }

    /// Who had vouched under this name, for what was activated at these times.
    pub(crate) fn not_compromised(&mut self, name: &[u8], times: Times) -> Result<Vouched, Reason> {
        let chain = self.chain(name)?;
        check_label(name, &chain)?;
        Inquiry { times, ..self.inquiry }.not_compromised(chain)
    }

    /// The verified chain of a name: remembered, or checked now.
    fn chain(&mut self, name: &[u8]) -> Result<Arc<VerifiedChain>, Reason> {
        let (_, certificates) = CertificateName::parts(name)?;
        if let Some(chain) = self.cache.get(certificates, &self.trust.anchors) {
            return Ok(chain);
        }
        if let Some(reason) = self.refused_chains.get(certificates) {
            return Err(reason.clone());
        }
        match verify_chain(name, &self.trust.anchors) {
            Ok(chain) => {
                let chain = Arc::new(chain);
                self.cache.insert(certificates, Arc::clone(&chain));
                Ok(chain)
            }
            Err(reason) => {
                self.refused_chains.insert(certificates.to_vec(), reason.clone());
                Err(reason)
            }
        }
    }
}

/// The chain in a name (FORMAT section 5).
pub(crate) fn verify_chain(name: &[u8], anchors: &Anchors) -> Result<VerifiedChain, Reason> {
    let certificates = CertificateName::parse(name)?.certificates().to_vec();
    VerifiedChain::verify(certificates, anchors)
}

/// N3: "LABEL MUST equal the label in the leaf."
pub(crate) fn check_label(name: &[u8], chain: &VerifiedChain) -> Result<CertificateId, Reason> {
    let certificates = chain.certificates()?;
    let leaf = certificates.first().ok_or(ChainError::Empty)?;
    let (label, _) = CertificateName::parts(name)?;
    if label == leaf.label {
        Ok(CertificateId::new(leaf, 0))
    } else {
        let (name, certificate) = (label.to_string(), leaf.label.to_string());
        Err(SignatureError::LabelMismatch { name, certificate }.into())
    }
}

/// All that is asked about a chain behind D1: here no signature of an object is known any more.
pub(crate) struct Inquiry<'a> {
    /// What the signature was made for.
    pub(crate) usage: Usage,
    pub(crate) path: &'a StorePath,
    pub(crate) trust: &'a Trust,
    pub(crate) times: Times,
}

impl Inquiry<'_> {
    /// D2 to D4, D8, D9; and what D10 will be about.
    pub(crate) fn vouch(&self, chain: Arc<VerifiedChain>) -> Result<Vouched, Reason> {
        let certificates = chain.certificates()?;
        let leaf = certificates.first().ok_or(ChainError::Empty)?;
        let ca = self.trust.anchors.name_of(chain.anchor()).unwrap_or_default();
        let moment = self.moment(&chain);
        check_validity(&certificates, &moment)?;
        for (position, certificate) in certificates.iter().enumerate() {
            self.check_scope(certificate).map_err(|error| Reason::Scope {
                certificate: CertificateId::new(certificate, position),
                error,
            })?;
        }
        // D9: "no certificate of the chain is revoked"
        let list_rules = self.trust.policy.list_rules(ca);
        self.trust.revocations.check((chain.anchor(), ca), &certificates, &list_rules, &moment)?;
        let signer = signer(&certificates, ca)?;
        let objections = self.trust.policy.objections(ca, &certificates, self.usage, self.path.name());
        Ok(Vouched { signer, leaf: CertificateId::new(leaf, 0), objections, chain: Arc::clone(&chain) })
    }

    /// D8: "*now* is the host's time for the chain's CA (T1)"
    pub(crate) fn moment(&self, chain: &VerifiedChain) -> Moment {
        let floors = [self.trust.policy.earliest_time, self.trust.revocations.proven_time(chain.anchor())];
        Moment::new(self.times, floors, self.trust.policy.clock)
    }

    /// G2 (e): who had vouched, when it was judged that they might, if they are no more compromised since.
    fn not_compromised(&self, chain: Arc<VerifiedChain>) -> Result<Vouched, Reason> {
        let certificates = chain.certificates()?;
        let leaf = CertificateId::new(certificates.first().ok_or(ChainError::Empty)?, 0);
        let ca = self.trust.anchors.name_of(chain.anchor()).unwrap_or_default();
        // P2: "A CA counts only if the policy has rules for it"
        if self.trust.policy.authorities.as_ref().is_some_and(|authorities| !authorities.contains_key(ca)) {
            let error = PolicyError::NoAuthority { ca: ca.to_owned() };
            return Err(Reason::Policy { certificate: leaf, error });
        }
        let list_rules = self.trust.policy.list_rules(ca);
        let moment = self.moment(&chain);
        self.trust.revocations.check((chain.anchor(), ca), &certificates, &list_rules, &moment)?;
        let signer = signer(&certificates, ca)?;
        Ok(Vouched { signer, leaf, objections: Vec::new(), chain: Arc::clone(&chain) })
    }

    /// D10: the host's policy. Twice: as it is enforced, and as it would be without audit mode.
    pub(crate) fn apply_policy(&self, results: Vec<Result<Good, Reason>>) -> Verdict {
        let vouched: Vec<&Vouched> = results
            .iter()
            .filter_map(|result| match result {
                Ok(Good::Certified(vouched)) => Some(vouched),
                Ok(Good::Plain(_)) | Err(_) => None,
            })
            .collect();
        let counted: Vec<&Vouched> =
            vouched.iter().copied().filter(|vouched| !vouched.has_objection(Mode::Enforce)).collect();
        let flawless: Vec<&Vouched> =
            counted.iter().copied().filter(|vouched| vouched.objections.is_empty()).collect();
        let (mut missing_votes, mut audited) = (None, Vec::new());
        for (threshold, pattern) in self.thresholds() {
            if let (Mode::Enforce, Some(error)) =
                (threshold.mode, self.missing_votes(threshold, pattern, &counted))
            {
                missing_votes.get_or_insert(error);
            } else if let Some(error) = self.missing_votes(threshold, pattern, &flawless) {
                audited.push(Reason::Votes(error));
            }
        }
        let has_plain = results.iter().any(|result| matches!(result, Ok(Good::Plain(_))));
        let by_audit = !has_plain && missing_votes.is_none() && !counted.is_empty();
        if !by_audit || (audited.is_empty() && !flawless.is_empty()) {
            // P8: "only where the object would be refused without audit mode"
            audited.clear();
        } else {
            audited.extend(counted.iter().flat_map(|vouched| vouched.audited()));
        }
        let missing_votes = missing_votes.filter(|_| !counted.is_empty()).map(Reason::Votes);
        let signatures = results.into_iter().map(outcome).collect();
        Verdict { signatures, missing_votes, audited }
    }

    /// The thresholds that the object's name meets, and by which pattern.
    fn thresholds(&self) -> impl Iterator<Item = (&Threshold, &str)> {
        let name = self.path.name();
        let thresholds = self.trust.policy.thresholds.iter();
        thresholds.filter_map(move |threshold| Some((threshold, threshold.names.find(name)?)))
    }

    pub(crate) fn missing_votes(
        &self,
        threshold: &Threshold,
        pattern: &str,
        vouched: &[&Vouched],
    ) -> Option<VotesError> {
        let mut voters = Vec::new();
        let mut labels = BTreeSet::new();
        for vouched in vouched {
            let ca = self.trust.anchors.name_of(vouched.chain.anchor()).unwrap_or_default();
            if threshold.authorities.as_ref().is_some_and(|authorities| !authorities.contains(ca)) {
                continue;
            }
            // Certificates that were verified can be read.
            let Ok(certificates) = vouched.chain.certificates() else { continue };
            voters.push(Voter::new(&certificates, threshold.together));
            labels.insert(vouched.leaf.label.clone());
        }
        let found = votes::count(&voters, usize::from(threshold.votes));
        (found != Found::Enough).then(|| VotesError {
            name: self.path.name().to_owned(),
            pattern: pattern.to_owned(),
            votes: threshold.votes,
            authorities: threshold.authorities.clone(),
            voters: labels,
            search_ended: found == Found::GivenUp,
        })
    }

    fn check_scope(&self, certificate: &Certificate<'_>) -> Result<(), ScopeError> {
        // D3: "Every certificate of the chain has the usage that the object needs"
        if !certificate.usages.contains(self.usage) {
            return Err(ScopeError::MissingUsage(self.usage));
        }
        self.check_store_directory(certificate)?;
        check_host(certificate, self.trust.host.as_ref())?;
        let name = self.path.name();
        if certificate.excludes_name(name) {
            return Err(ScopeError::NameExcluded(name.to_owned()));
        }
        if !certificate.permits_name(name) {
            return Err(ScopeError::NameNotPermitted(name.to_owned()));
        }
        Ok(())
    }

    fn check_store_directory(&self, certificate: &Certificate<'_>) -> Result<(), ScopeError> {
        let directory = self.path.directory();
        let mut listed = certificate.store_directories.iter();
        // K2: "Where kind 4 is absent, the store directory MUST be /nix/store."
        let permitted = if certificate.store_directories.is_empty() {
            directory == "/nix/store"
        } else {
            listed.any(|item| item == directory.as_bytes())
        };
        if permitted { Ok(()) } else { Err(ScopeError::StoreDirectory(shorten(directory))) }
    }
}

/// Who signs with this chain, which ends in the CA of that name.
fn signer(certificates: &[Certificate<'_>], ca: &str) -> Result<Signer, Reason> {
    let leaf = certificates.first().ok_or(ChainError::Empty)?;
    let intermediates = certificates.iter().skip(1).rev().map(|certificate| certificate.label.as_str());
    let authority = std::iter::once(ca).chain(intermediates).collect::<Vec<_>>().join("/");
    Ok(Signer::Certified { key: leaf.subject, label: leaf.label.to_string(), serial: leaf.serial, authority })
}

impl Vouched {
    fn audited(&self) -> impl Iterator<Item = Reason> {
        let audited = self.objections.iter().filter(|(mode, _)| *mode == Mode::Audit);
        audited.map(|(_, error)| Reason::Policy { certificate: self.leaf.clone(), error: error.clone() })
    }
}

fn outcome(result: Result<Good, Reason>) -> Outcome {
    match result {
        Ok(Good::Plain(signer)) => Outcome::Counted(signer),
        Ok(Good::Certified(vouched)) => {
            let refusal = vouched.refusal();
            refusal.map_or(Outcome::Counted(vouched.signer), Outcome::Refused)
        }
        Err(reason) => Outcome::Refused(reason),
    }
}

/// D2: "There is one instant at which *every* certificate of the chain is valid"; T3: "not-before is not asked at *now*"
fn check_validity(certificates: &[Certificate<'_>], moment: &Moment) -> Result<(), Reason> {
    let outside = |certificate: &Certificate<'_>| match moment.clock.is_exact() {
        true => outside_validity(certificate, moment.now),
        false => expired(certificate, moment.now),
    };
    let invalid_now = certificates.iter().enumerate().find_map(|(position, certificate)| {
        let error = outside(certificate)?;
        Some(Reason::Scope { certificate: CertificateId::new(certificate, position), error })
    });
    match (invalid_now, moment.registered) {
        (None, _) => Ok(()),
        (Some(_), Some(registered)) if valid_at(certificates, registered) => Ok(()),
        (Some(reason), _) => Err(reason),
    }
}

/// N1: "NAME ends at the first `:`"
pub(crate) fn split_signature(signature: &[u8]) -> Result<(&[u8], &[u8]), SignatureError> {
    let colon = signature.iter().position(|byte| *byte == b':').ok_or(SignatureError::Malformed)?;
    let (name, payload) = signature.split_at_checked(colon).ok_or(SignatureError::Malformed)?;
    if name.is_empty() {
        Err(SignatureError::Malformed)
    } else {
        Ok((name, payload.get(1..).unwrap_or_default()))
    }
}

/// "of 64 bytes, C3": 88 characters. Nothing longer is decoded.
pub(crate) fn decode_payload(payload: &[u8]) -> Result<[u8; 64], SignatureError> {
    let bytes =
        (payload.len() == 88).then(|| base64_decode(payload)).flatten().ok_or(SignatureError::Malformed)?;
    bytes.try_into().map_err(|_| SignatureError::Malformed)
}
