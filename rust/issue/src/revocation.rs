//! Writing revocation lists (FORMAT section 11).

use crate::secret_key::SecretKey;
use nixcert_core::{
    ALGORITHM_ED25519, Entries, Extent, Instant, ListError, PublicKey, REVOCATION_CONTEXT, RevocationList,
    Revoked, Selector, VERSION,
};
use std::collections::BTreeMap;

/// A list to be: everything but the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListDraft {
    /// The CA whose certificates it is about.
    pub ca: PublicKey,
    /// The chain of the signer, leaf first; empty if that is the CA itself.
    pub certificates: Vec<Vec<u8>>,
    /// When it is issued.
    pub issued: Instant,
    /// What it revokes. The order is the list's (FORMAT L4).
    pub entries: BTreeMap<Selector, Revoked>,
}

impl ListDraft {
    /// Sign the list. What is returned was read back by the verifier's own parser. Whether it counts on any host (whether the
    /// signer may sign it) is asked there.
    ///
    /// # Errors
    /// [`ListError`] if the draft breaks a rule of FORMAT L1 to L5.
    pub fn sign(&self, signer: &SecretKey) -> Result<Vec<u8>, ListError> {
        let mut bytes = self.to_be_signed()?;
        let signature = signer.sign(&[REVOCATION_CONTEXT, &bytes].concat());
        bytes.extend(signature);
        RevocationList::parse(&bytes)?;
        Ok(bytes)
    }

    /// The entries of an older list, to begin with.
    pub fn entries_of(older: &Entries) -> BTreeMap<Selector, Revoked> {
        older.iter().collect()
    }

    fn to_be_signed(&self) -> Result<Vec<u8>, ListError> {
        let mut bytes = vec![VERSION, ALGORITHM_ED25519];
        bytes.extend(self.ca.0);
        let count = u8::try_from(self.certificates.len());
        bytes.push(count.map_err(|_| ListError::TooManyCertificates(u8::MAX))?);
        for certificate in &self.certificates {
            let length = u16::try_from(certificate.len());
            bytes.extend(length.map_err(|_| ListError::CertificateTooLong(u16::MAX))?.to_be_bytes());
            bytes.extend(certificate);
        }
        bytes.extend(self.issued.seconds().to_be_bytes());
        let count = u32::try_from(self.entries.len()).map_err(|_| ListError::TooLarge(usize::MAX))?;
        bytes.extend(count.to_be_bytes());
        for (selector, revoked) in &self.entries {
            let value = selector.value();
            bytes.push(selector.kind());
            if let Selector::Label(_) = selector {
                bytes.push(u8::try_from(value.len()).map_err(|_| ListError::Label)?);
            }
            bytes.extend(value);
            match revoked.extent {
                Extent::Retired => bytes.push(1),
                Extent::Compromised { since } => {
                    bytes.push(2);
                    bytes.extend(since.seconds().to_be_bytes());
                }
            }
            bytes.push(revoked.cause as u8);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nixcert_core::{Anchors, Cause, Serial};

    fn draft(ca: &SecretKey) -> ListDraft {
        let retired = Revoked { extent: Extent::Retired, cause: Cause::Superseded };
        let since = Instant::from_seconds(50).unwrap();
        let compromised =
            Revoked { extent: Extent::Compromised { since }, cause: Cause::KeyCompromise };
        ListDraft {
            ca: ca.public(),
            certificates: vec![],
            issued: Instant::from_seconds(100).unwrap(),
            entries: [
                (Selector::Serial(Serial(7)), retired),
                (Selector::Key(PublicKey([9; 32])), compromised),
                (Selector::Label("bob".to_owned()), retired),
                (Selector::Label("al".to_owned()), compromised),
                (Selector::Label("alice".to_owned()), compromised),
            ]
            .into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ca = SecretKey::from_seed(&[1; 32]);
        let draft = draft(&ca);
        let bytes = draft.sign(&ca).unwrap();
        let list = RevocationList::parse(&bytes).unwrap();
        assert_eq!(ListDraft::entries_of(&list.entries), draft.entries);
        assert_eq!((list.ca, list.issued), (draft.ca, draft.issued));
        let mut anchors = Anchors::default();
        anchors.add(&format!("acme:{}", ca.public())).unwrap();
        let verified = list.verify(&anchors, None).unwrap();
        assert!(verified.is_of_the_ca());
        assert_eq!(verified.entries().len(), 5);
        // Every bit counts, and every byte does.
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verified = RevocationList::parse(&bytes).and_then(|list| list.verify(&anchors, None));
            assert!(verified.is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(RevocationList::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_cannot_be_written() {
        let ca = SecretKey::from_seed(&[1; 32]);
        let mut late = draft(&ca);
        late.issued = Instant::from_seconds(49).unwrap();
        assert_eq!(late.sign(&ca), Err(ListError::CompromiseToCome));
        let mut zero = draft(&ca);
        let retired = Revoked { extent: Extent::Retired, cause: Cause::Unspecified };
        zero.entries.insert(Selector::Serial(Serial(0)), retired);
        assert_eq!(zero.sign(&ca), Err(ListError::ZeroSerial));
        let mut label = draft(&ca);
        label.entries.insert(Selector::Label("Bob".to_owned()), retired);
        assert_eq!(label.sign(&ca), Err(ListError::Label));
    }
}
