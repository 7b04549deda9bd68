//! Tests of the folder of identities.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer};

use super::*;

fn issued(key: &PrivateKey) -> Issued {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "x");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = params.signed_by(key.pair(), &Issuer::new(ca, ca_key)).unwrap().pem();
    let encode = |pem: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(pem)
    };
    let (chain, leaf) = (encode(&format!("{leaf}{ca_pem}")), encode(&leaf));
    Issued::verify(&leaf, &chain, &encode(&ca_pem), key, &"CN=x".parse().unwrap(), Timestamp::now()).unwrap()
}

fn stage(store: &IdentityStore) -> Identity {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let url: HttpsUrl = "https://plane.example.com".parse().unwrap();
    let record = Record::new(None, None, url.clone(), url, KeyAlgorithm::EcdsaP256, Timestamp::from_second(1).unwrap());
    store.stage(&issued(&key), &key, record).unwrap()
}

#[test]
fn an_identity_is_in_use_only_once_it_is_promoted_and_the_one_before_is_kept() {
    let state = tempfile::tempdir().unwrap();
    let store = IdentityStore::open(state.path()).unwrap();
    let first = stage(&store);
    assert!(store.current().unwrap().is_none());
    assert_eq!(store.candidate().unwrap().unwrap().leaf, first.leaf);
    store.promote(first.number).unwrap();
    assert_eq!(store.current().unwrap().unwrap().leaf, first.leaf);
    assert!(store.candidate().unwrap().is_none());
    for _ in 0..2 {
        let next = stage(&store);
        store.promote(next.number).unwrap();
    }
    let mut left: Vec<_> =
        fs::read_dir(state.path().join("identity")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["0002", "0003", "current"]);
}

#[test]
fn files_of_an_identity_are_for_the_agent_alone() {
    let state = tempfile::tempdir().unwrap();
    let store = IdentityStore::open(state.path()).unwrap();
    stage(&store);
    let folder = state.path().join("identity/0001");
    assert_eq!(fs::metadata(state.path().join("identity")).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(folder).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A group that nobody is in; only root may choose it, and everybody else has their own.
fn share(root: &Path) {
    let _ = std::os::unix::fs::chown(root, None, Some(54_321));
    fs::set_permissions(root, fs::Permissions::from_mode(0o2750)).unwrap();
    // As the daemon does.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
}

/// Checks group and modes of all identities, and tells their numbers and inodes.
fn assert_modes(root: &Path, folder_mode: u32, file_mode: u32) -> Vec<(String, u64)> {
    let group = fs::metadata(root).unwrap().gid();
    let mut seen = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        let metadata = fs::metadata(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(metadata.mode() & 0o7777, folder_mode, "{name}");
        seen.push((name, metadata.ino()));
        let mut count = 0;
        for file in fs::read_dir(&path).unwrap() {
            let metadata = file.unwrap().metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, file_mode, "{}", path.display());
            assert!(file_mode & 0o040 == 0 || metadata.gid() == group, "{}", path.display());
            count += 1;
        }
        assert_eq!(count, 5, "{}", path.display());
    }
    seen.sort();
    seen
}

#[test]
fn what_is_made_in_a_folder_for_a_group_is_for_that_group() {
    let state = tempfile::tempdir().unwrap();
    let root = state.path().join("identity");
    fs::create_dir(&root).unwrap();
    share(&root);
    let store = IdentityStore::open(state.path()).unwrap();
    let mut identity = stage(&store);
    assert_modes(&root, 0o2750, 0o640);
    identity.record.runtime = Some("r-1".parse().unwrap());
    store.amend(identity.number, &identity.record).unwrap();
    store.promote(identity.number).unwrap();
    assert_modes(&root, 0o2750, 0o640);
    let next = stage(&store);
    store.promote(next.number).unwrap();
    let before = assert_modes(&root, 0o2750, 0o640);
    assert_eq!(before.len(), 2);
    IdentityStore::open(state.path()).unwrap();
    assert_eq!(assert_modes(&root, 0o2750, 0o640), before, "what is in order is left alone");
}

#[test]
fn an_identity_from_before_is_given_to_the_group_and_taken_from_it_again() {
    let state = tempfile::tempdir().unwrap();
    let root = state.path().join("identity");
    let store = IdentityStore::open(state.path()).unwrap();
    let former = stage(&store);
    store.promote(former.number).unwrap();
    let current = stage(&store);
    store.promote(current.number).unwrap();
    let candidate = stage(&store);
    // What a kill left of a write, which nobody needs.
    fs::write(root.join("0002/.tmp-x"), "").unwrap();

    share(&root);
    let store = IdentityStore::open(state.path()).unwrap();
    let names: Vec<_> = assert_modes(&root, 0o2750, 0o640).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["0001", "0002", "0003"], "nothing is left beside");
    let read = store.current().unwrap().unwrap();
    assert_eq!((read.number, read.leaf, read.record), (current.number, current.leaf, current.record));
    assert_eq!(store.candidate().unwrap().unwrap().leaf, candidate.leaf);

    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let store = IdentityStore::open(state.path()).unwrap();
    assert_modes(&root, 0o700, 0o600);
    assert_eq!(store.current().unwrap().unwrap().number, current.number);
}

#[test]
fn one_file_that_the_group_cannot_read_is_enough_to_mend_it() {
    let spoil: [fn(&Path); 3] = [
        |folder| fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap(),
        |folder| fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap(),
        |folder| fs::set_permissions(folder, fs::Permissions::from_mode(0o2755)).unwrap(),
    ];
    for spoil in spoil {
        let state = tempfile::tempdir().unwrap();
        let root = state.path().join("identity");
        fs::create_dir(&root).unwrap();
        share(&root);
        stage(&IdentityStore::open(state.path()).unwrap());
        spoil(&root.join("0001"));
        IdentityStore::open(state.path()).unwrap();
        assert_modes(&root, 0o2750, 0o640);
    }
}

#[test]
fn what_cannot_be_given_to_readers_is_used_by_the_agent_all_the_same() {
    let state = tempfile::tempdir().unwrap();
    let root = state.path().join("identity");
    let identity = {
        let store = IdentityStore::open(state.path()).unwrap();
        let identity = stage(&store);
        store.promote(identity.number).unwrap();
        identity
    };
    fs::create_dir(root.join("0001/mine")).unwrap();
    share(&root);
    let store = IdentityStore::open(state.path()).unwrap();
    assert!(root.join("0001/mine").exists(), "what somebody else put there is not removed");
    assert_eq!(store.current().unwrap().unwrap().leaf, identity.leaf);
}

#[test]
fn a_damaged_identity_is_named_and_not_used() {
    let state = tempfile::tempdir().unwrap();
    let store = IdentityStore::open(state.path()).unwrap();
    let identity = stage(&store);
    store.promote(identity.number).unwrap();
    let other = stage(&store);
    let key = |number: IdentityNumber| state.path().join("identity").join(number.folder()).join("key.pem");
    fs::copy(key(other.number), key(identity.number)).unwrap();
    let error = store.current().unwrap_err().to_string();
    assert!(error.contains("0001/key.pem") && error.contains("does not fit"), "{error}");
}

#[test]
fn a_certificate_for_another_key_subject_or_time_is_refused() {
    use crate::identity::IssuedError;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let good = issued(&key);
    let encode = |pem: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(pem)
    };
    let verify = |key: &PrivateKey, ca: &str, subject: &str, now| {
        let (leaf, chain) = (encode(&good.leaf_pem), encode(&good.chain_pem));
        Issued::verify(&leaf, &chain, &encode(ca), key, &subject.parse().unwrap(), now)
    };
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let now = Timestamp::now();
    assert!(matches!(verify(&other, &good.ca_pem, "CN=x", now), Err(IssuedError::OtherKey)));
    assert!(matches!(verify(&key, &good.ca_pem, "CN=y", now), Err(IssuedError::OtherSubject(_))));
    assert!(matches!(verify(&key, &issued(&other).ca_pem, "CN=x", now), Err(IssuedError::Chain(_))));
    let past = Timestamp::MAX;
    assert!(matches!(verify(&key, &good.ca_pem, "CN=x", past), Err(IssuedError::Expired(_))));
    verify(&key, &good.ca_pem, "CN=x", now).unwrap();
}
