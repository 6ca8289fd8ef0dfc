//! One chain: its manifests in order, each by its signature, its number and the hash of the one before.

use futures_util::{StreamExt, stream};

use super::{ChainFolder, ChainSummary, Sealed, Verifier, object, short, small};
use crate::archive::{Envelope, Hash, Manifest, PublicKey, SealedFile, chain_folder};
use crate::digest::sha256;
use crate::limits;

impl Verifier<'_> {
    pub(super) async fn chain(&mut self, at: u32, folder: &str, files: &ChainFolder) -> Result<(), String> {
        let before = self.report.all_faults();
        let keys = self.keys(folder, files).await?;
        let mut summary = ChainSummary { folder: folder.to_owned(), ..ChainSummary::default() };
        let (mut expected, mut previous, mut known) = (1, None, true);
        let mut holes = Vec::new();
        for &number in &files.numbers {
            let key = manifest_name(folder, number);
            if number != expected {
                let what = format!("is missing: the chain has nothing before manifest {number}");
                self.report.fault(manifest_name(folder, expected), what);
                known = false;
            }
            expected = number + 1;
            let Some(bytes) = small(&self.source, &key).await? else {
                self.report.fault(key, "is gone, or larger than any manifest");
                known = false;
                continue;
            };
            let hash = sha256(&bytes);
            summary.manifests += 1;
            summary.head = Some((number, Hash(hash)));
            self.head_found |= self.options.expected_head == Some((number, hash));
            match Manifest::open(&bytes, &keys) {
                Err(what) => self.report.fault(key, what),
                Ok((manifest, signer)) => {
                    if summary.keys.last().is_none_or(|(_, last)| *last != signer) {
                        summary.keys.push((number, signer));
                    }
                    if manifest.number != number || chain_folder(&manifest.instance) != folder {
                        let what = format!("is manifest {} of {:?}", manifest.number, manifest.instance);
                        self.report.fault(key.clone(), what);
                    }
                    if known && manifest.previous.map(|hash| hash.0) != previous {
                        self.report.fault(key.clone(), "does not follow the manifest before it");
                    }
                    summary.written_at.clone_from(&manifest.written_at);
                    self.report.calendar.add(&manifest);
                    holes.clone_from(&manifest.holes);
                    self.visitor.manifest(folder, &manifest).await?;
                    self.files(at, number, manifest.files).await?;
                }
            }
            (previous, known) = (Some(hash), true);
        }
        self.report.holes.append(&mut holes);
        for (number, id) in &summary.keys {
            if !files.keys.contains(id) {
                let what = format!("is missing: it signs from manifest {number} on");
                self.report.fault(format!("{folder}{id}.pub.pem"), what);
            }
        }
        summary.faults = self.report.all_faults() - before;
        self.report.chains.push(summary);
        Ok(())
    }

    /// The keys to trust; those that lie in the archive are looked at in any case.
    async fn keys(&mut self, folder: &str, files: &ChainFolder) -> Result<Vec<PublicKey>, String> {
        let is_theirs = self.options.instance.as_deref().is_none_or(|name| chain_folder(name) == folder);
        let pinned = if is_theirs { self.options.pinned.clone() } else { Vec::new() };
        let mut found = Vec::new();
        for id in &files.keys {
            let name = format!("{folder}{id}.pub.pem");
            let text = small(&self.source, &name).await?.and_then(|bytes| String::from_utf8(bytes).ok());
            // Byte for byte, so that no change goes unseen.
            let key = text.and_then(|text| PublicKey::from_pem(&text).ok().filter(|key| key.pem() == text));
            match key.filter(|key| key.id() == *id) {
                None => self.report.fault(name, "is not the public key that its name says"),
                Some(key) if !pinned.is_empty() && !pinned.contains(&key) => {
                    let what = "is a public key that is not pinned: if custodex was given a new key, give it as \
                                --public-key too";
                    self.report.fault(name, what);
                }
                Some(key) => found.push(key),
            }
        }
        Ok(if pinned.is_empty() { found } else { pinned })
    }

    async fn files(&mut self, chain: u32, number: u64, files: Vec<SealedFile>) -> Result<(), String> {
        for file in &files {
            self.report.files += 1;
            self.report.records += file.records;
            self.report.bytes += file.bytes;
            self.report.found += u64::from(file.found);
            if !object::is_named(file) {
                self.report
                    .fault(file.key.clone(), "is sealed under a name that is not that of its log file");
            }
            if let Some(name) = object::Name::read(&file.key) {
                self.stems.insert(short(name.stem), short(name.folder));
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let sealed = Sealed { size: file.object_bytes, chain, number, seen: false };
            if let Some(other) = self.sealed.insert(short(&file.key), sealed)
                && (other.chain == chain || other.size != file.object_bytes)
            {
                self.report
                    .fault(file.key.clone(), format!("is sealed twice, in {} and {number}", other.number));
            }
        }
        if !self.options.deep {
            return Ok(());
        }
        let source = &self.source;
        let read = stream::iter(files).map(|file| async move {
            let found = object::check(source, &file).await;
            (file.key, found)
        });
        let found: Vec<_> = read.buffer_unordered(limits::VERIFY_IN_FLIGHT).collect().await;
        for (key, result) in found {
            for what in result? {
                self.report.fault(key.clone(), what);
            }
        }
        Ok(())
    }

    /// A manifest that was read before.
    pub(super) async fn manifest_again(&self, folder: &str, number: u64) -> Result<Option<Manifest>, String> {
        let bytes = small(&self.source, &manifest_name(folder, number)).await?;
        let envelope = bytes.as_deref().and_then(Envelope::read);
        Ok(envelope.and_then(|envelope| Manifest::read(&envelope.payload).ok()))
    }
}

fn manifest_name(folder: &str, number: u64) -> String {
    format!("{folder}{number:012}.json")
}
