//! `nixcert revocation query`: whether something is revoked.

use super::describe::{EntryDescription, ListDescription};
use super::{MOST_BYTES, quoted};
use crate::commands::revoke::{Found, named_key, serial};
use crate::error::{Answer, Error, Result};
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, printable};
use crate::trust::TrustArgs;
use crate::{input, time};
use nixcert_core::{
    Certificate, Entries, Label, PublicKey, RevocationList, Revocations, Revoked, Selector, Serial, Trust,
    VerifiedList,
};
use nixcert_host::Holdings;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// Ask a list, or all that a host holds, whether something is revoked
///
/// A certificate is asked by its serial, its key and its label, and so is every intermediate above it: any one of them
/// revokes. What a list does not revoke counts only if it is known whose list it is: without a trusted CA the answer is "could
/// not tell".
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert revocation query acme.list --certificate alice.cert --trusted-ca-keys acme-2026-1:s6vX…=
  nixcert revocation query /var/lib/nixcert/revocation --certificate alice.cert   # by this machine's nix.conf
  nixcert revocation query acme.list --nix-conf web-1.nix.conf --label alice --json

Exit status: 0 it is not revoked; 1 it is; 2 could not tell: a list that cannot be used, none of this CA, or wrong usage. So
'query … && proceed' proceeds only where somebody trusted was asked and said nothing against it.")]
pub(crate) struct QueryArgs {
    /// A list, or a directory of lists as a host holds it; '-' is standard input
    lists: PathBuf,
    /// A certificate, a key with one, or a signature; or a key without a certificate
    #[arg(long, value_name = "FILE", help_heading = "What")]
    certificate: Option<PathBuf>,
    /// A serial number
    #[arg(long, value_name = "HEX", help_heading = "What", value_parser = serial)]
    serial: Option<Serial>,
    /// A public key
    #[arg(long, value_name = "BASE64", help_heading = "What")]
    key: Option<String>,
    /// A label
    #[arg(long, value_name = "NAME", help_heading = "What", value_parser = label)]
    label: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

/// One list that was asked.
struct Asked {
    description: ListDescription,
    entries: Entries,
    /// The keys of the intermediates that the signer is below (FORMAT L8).
    issuers: Vec<PublicKey>,
}

/// What is asked about.
struct Question {
    /// By what, and of which certificate.
    selectors: Vec<(Selector, Option<String>)>,
    /// Of a certificate: the CA, and all subject keys of its chain.
    chain: Option<(PublicKey, Vec<PublicKey>)>,
}

#[derive(Serialize)]
struct Reply {
    schema: u32,
    /// `not-revoked`, `revoked` or `unknown`.
    answer: &'static str,
    verified: bool,
    revoked: Vec<Hit>,
    lists: Vec<ListDescription>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Hit {
    #[serde(flatten)]
    entry: EntryDescription,
    /// Whose certificate, where one was asked about: label and serial.
    certificate: Option<String>,
    list: ListDescription,
    #[serde(skip)]
    words: String,
}

pub(super) fn run(args: &QueryArgs) -> Result {
    let question = question(args)?;
    let (lists, mut problems, verified) =
        if args.lists.is_dir() { held(args, &question)? } else { single(args, &question)? };
    if lists.is_empty() && problems.is_empty() {
        problems.push(match &question.chain {
            Some((ca, _)) => format!("there is no list of the CA {ca}"),
            None => "there is no list".to_owned(),
        });
    }
    let hits: Vec<Hit> = lists.iter().flat_map(|list| list.ask(&question)).collect();
    let (answer, word) = match (hits.is_empty(), problems.is_empty()) {
        (false, _) => (Answer::No, "revoked"),
        (true, true) => (Answer::Yes, "not-revoked"),
        (true, false) => (Answer::CouldNotTell, "unknown"),
    };
    let lists = lists.into_iter().map(|list| list.description).collect();
    let reply = Reply { schema: SCHEMA, answer: word, verified, revoked: hits, lists, problems };
    if args.json {
        output::json(&reply)?;
    } else {
        reply.show()?;
    }
    Ok(answer)
}

fn question(args: &QueryArgs) -> Result<Question> {
    let key = args.key.as_deref().map(named_key).transpose()?;
    let bare =
        [args.serial.map(Selector::Serial), key.map(Selector::Key), args.label.clone().map(Selector::Label)];
    let mut question = Question {
        selectors: bare.into_iter().flatten().map(|selector| (selector, None)).collect(),
        chain: None,
    };
    match args.certificate.as_deref().map(Found::read).transpose()? {
        Some(Found::Key(key)) => question.selectors.push((Selector::Key(key), None)),
        Some(Found::Chain(chain)) => {
            let chain: Vec<Certificate<'_>> =
                chain.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect();
            for certificate in &chain {
                let whose = format!("{} (serial {})", certificate.label, certificate.serial);
                for selector in [
                    Selector::Serial(certificate.serial),
                    Selector::Key(certificate.subject),
                    Selector::Label(certificate.label.to_string()),
                ] {
                    question.selectors.push((selector, Some(whose.clone())));
                }
            }
            let subjects = chain.iter().map(|certificate| certificate.subject).collect();
            question.chain = chain.last().map(|last| (last.issuer, subjects));
        }
        None => {}
    }
    if question.selectors.is_empty() {
        return Err(Error::new("what to ask about is not said")
            .help("name --certificate FILE, --serial HEX, --key BASE64 or --label NAME"));
    }
    Ok(question)
}

type Lists = (Vec<Asked>, Vec<String>, bool);

fn single(args: &QueryArgs, question: &Question) -> Result<Lists> {
    let Trust { anchors, host, .. } = args.trust.load_or_this_machine()?.trust;
    let bytes = input::bytes(&args.lists, MOST_BYTES)?;
    let unusable = |error: &nixcert_core::ListError| {
        Error::new(format!("{} cannot be used ({}): {error}", quoted(&args.lists), error.code()))
            .help("get it again from whoever issued it; nobody knows what it revokes")
    };
    let list = RevocationList::parse(&bytes).map_err(|error| unusable(&error))?;
    let mut asked = Asked::new(ListDescription::of_parsed(&list), list.entries.clone(), &list.certificates);
    if let Some((ca, _)) = question.chain.as_ref().filter(|(ca, _)| *ca != list.ca) {
        return Ok((
            Vec::new(),
            vec![format!("the certificate is below the CA {ca}, and the list is about those of {}", list.ca)],
            false,
        ));
    }
    let verified = !anchors.is_empty();
    if verified {
        let list = VerifiedList::read(&bytes, &anchors, host.as_ref()).map_err(|error| unusable(&error))?;
        asked.description = ListDescription::of_verified(&list, anchors.name_of(list.ca()));
    }
    let unverified =
        "the list was not verified, so it may lack something: name --trusted-ca-keys or --nix-conf"
            .to_owned();
    Ok((vec![asked], if verified { Vec::new() } else { vec![unverified] }, verified))
}

fn held(args: &QueryArgs, question: &Question) -> Result<Lists> {
    let Trust { anchors, host, .. } = args.trust.load_or_this_machine()?.trust;
    if anchors.is_empty() {
        return Err(Error::new("there is no trusted CA, so none of the lists could be one's")
            .help("name --trusted-ca-keys NAME:BASE64 or --nix-conf FILE"));
    }
    let held = match Holdings::new(&args.lists).read(&anchors, host.as_ref()) {
        Ok(held) => held,
        Err(problem) => return Ok((Vec::new(), vec![problem], true)),
    };
    let concerns = |ca: &PublicKey| question.chain.as_ref().is_none_or(|(of_chain, _)| of_chain == ca);
    let problems = held
        .iter()
        .filter(|held| held.ca.as_ref().is_none_or(concerns))
        .filter_map(|held| {
            held.list.as_ref().err().map(|problem| format!("'{}': {problem}", held.path.display()))
        })
        .collect();
    let revocations = Revocations::new(held.iter().filter_map(|held| held.list.clone().ok()));
    let authorities: BTreeSet<PublicKey> = held.iter().filter_map(|held| held.ca).filter(concerns).collect();
    let lists = authorities.iter().flat_map(|ca| revocations.of(ca)).map(|list| {
        let certificates: Vec<&[u8]> = list.certificates().iter().map(Vec::as_slice).collect();
        let description = ListDescription::of_verified(list, anchors.name_of(list.ca()));
        Asked::new(description, list.entries().clone(), &certificates)
    });
    let mut lists: Vec<Asked> = lists.collect();
    lists.sort_by_key(|list| list.description.order());
    Ok((lists, problems, true))
}

impl Asked {
    fn new(description: ListDescription, entries: Entries, certificates: &[&[u8]]) -> Self {
        let issuers = certificates.iter().skip(1).filter_map(|bytes| Certificate::parse(bytes).ok());
        Self { description, entries, issuers: issuers.map(|issuer| issuer.subject).collect() }
    }

    fn ask(&self, question: &Question) -> Vec<Hit> {
        // L8: "only on chains that have in them every intermediate (by key) of the delegate's own chain"
        let out_of_reach = |(_, subjects): &(PublicKey, Vec<PublicKey>)| {
            self.issuers.iter().any(|issuer| !subjects.contains(issuer))
        };
        if question.chain.as_ref().is_some_and(out_of_reach) {
            return Vec::new();
        }
        let found = question.selectors.iter().filter_map(|(selector, whose)| {
            let revoked = self.entries.get(selector)?;
            Some(self.hit(selector, revoked, whose.clone()))
        });
        found.collect()
    }

    fn hit(&self, selector: &Selector, revoked: Revoked, certificate: Option<String>) -> Hit {
        let of = certificate.as_ref().map(|whose| format!("{whose}, ")).unwrap_or_default();
        let words = format!(
            "{of}by {selector}: {} ({}), says {} of {}",
            revoked.extent,
            revoked.cause,
            self.description.whose(),
            self.description.issued
        );
        let entry = EntryDescription::new(selector, revoked);
        Hit { entry, certificate, list: self.description.clone(), words }
    }
}

impl Reply {
    fn show(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        for hit in &self.revoked {
            writeln!(out, "{REFUSED}revoked:{REFUSED:#} {}", printable(&hit.words))?;
        }
        if self.answer == "not-revoked" {
            let now = time::now()?;
            for list in &self.lists {
                let words = format!("{} of {} ({})", list.whose(), list.issued, list.age(now));
                writeln!(out, "{ACCEPTED}not revoked:{ACCEPTED:#} says {}", printable(&words))?;
            }
        }
        for problem in &self.problems {
            writeln!(out, "{NOTE}could not tell:{NOTE:#} {}", printable(problem))?;
        }
        Ok(())
    }
}

fn label(text: &str) -> std::result::Result<String, String> {
    Label::parse(text.as_bytes()).map(|label| label.to_string()).map_err(|error| error.to_string())
}
