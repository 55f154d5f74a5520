//! Published Python clients, unchanged: hvac, and pyarrow with a key store client over it.

use std::collections::BTreeMap;
use std::path::Path;

use salus_api::transit::Operation;
use salus_crypto::pkmt1::{
    ExternalMaterial, KeyMaterial, KeyMetadata, external_material_file_name,
};
use salus_keys::{KeyStore as _, WrapContext, WrappedKey};
use salus_model::KeyName;
use salus_testkit::{Venv, scratch};
use serde::Deserialize;

use crate::{EVERYTHING, World, name};

fn venv() -> Venv {
    Venv::with(&["hvac==2.4.0", "pyarrow==26.0.1"])
}

async fn run(script: &'static str, args: Vec<String>) -> String {
    let work = move || {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python_scripts");
        venv().run(dir.join(script), |command| {
            command.args(args);
        })
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hvac_works_unchanged() {
    let world = World::new().await;
    world.create(&["observations.clinical"]).await;
    let (reader, _) = world.token(&[("observations.*", &[Operation::Read, Operation::Encrypt])]);
    let (revoked, accessor) = world.token(&[("*", EVERYTHING)]);
    world.tokens.revoke(accessor, salus_model::Clock::now(&*world.clock));
    let printed = run("hvac_client.py", vec![world.url(), world.root(), reader, revoked]).await;
    assert!(printed.contains("every hvac call answered as Vault does"), "{printed}");
    // What it left behind, seen from behind.
    let keys = world.store.list().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].versions.len(), 2);
}

/// What the script found in and beside the files that pyarrow wrote.
#[derive(Deserialize)]
struct Written {
    file: String,
    internal: bool,
    double: bool,
    metadata: Vec<String>,
    beside: BTreeMap<String, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_writes_and_reads_through_it_and_we_unwrap_its_material() {
    let world = World::new().await;
    world.create(&["obs.footer", "obs.clinical", "obs.identifiers"]).await;
    let use_of = [Operation::Read, Operation::Encrypt, Operation::Decrypt];
    let (writer, _) = world.token(&[("obs.*", &use_of[..])]);
    let (no_names, _) = world.token(&[("obs.footer", &use_of[..]), ("obs.clinical", &use_of[..])]);
    let folder = scratch();
    let at = folder.path().display().to_string();
    let printed = run("pyarrow_kms.py", vec![world.url(), writer, no_names, at]).await;
    let all: Vec<Written> = serde_json::from_str(&printed).unwrap();
    assert_eq!(all.len(), 4);
    for written in all {
        let beside = written.beside.get(&external_material_file_name(&written.file));
        let beside = beside.map(|text| ExternalMaterial::from_json(text).unwrap());
        assert_eq!(beside.is_none(), written.internal);
        let mut masters = Vec::new();
        for text in &written.metadata {
            let material = match KeyMetadata::from_bytes(text.as_bytes()).unwrap() {
                KeyMetadata::Internal(material) => material,
                KeyMetadata::External { reference } => {
                    beside.as_ref().unwrap().0[&reference].clone()
                }
            };
            unwraps(&world, &material).await;
            assert_eq!(
                matches!(material.wrapping, salus_crypto::pkmt1::Wrapping::Double { .. }),
                written.double
            );
            masters.push(material.master_key.to_string());
        }
        masters.sort();
        // Columns under one master key have a data key each.
        masters.dedup();
        assert_eq!(masters, ["obs.clinical", "obs.footer", "obs.identifiers"]);
    }
}

async fn unwraps(world: &World, material: &KeyMaterial) {
    let (master, wrapped) = material.request();
    let master: KeyName = master.as_str().parse().unwrap();
    let wrapped: WrappedKey = wrapped.parse().unwrap();
    let answer = world.store.unwrap(&master, WrapContext::KeyTools, &wrapped).await.unwrap();
    material.data_key(answer).unwrap();
    // Rotation without touching data: the material wrapped anew opens too.
    world.store.rotate(&master).await.unwrap();
    let anew = world.store.rewrap(&master, WrapContext::KeyTools, &wrapped).await.unwrap();
    let material = material.clone().rewrapped(anew.as_str().to_owned());
    let answer = world.store.unwrap(&master, WrapContext::KeyTools, &anew).await.unwrap();
    material.data_key(answer).unwrap();
    assert_ne!(anew.version(), wrapped.version());
    assert!(world.store.describe(&name(master.as_str())).await.is_ok());
}
