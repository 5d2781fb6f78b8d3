//! What is kept of devices, and what becomes of it.

use std::fs;

use super::*;

fn name(text: &str) -> DeviceName {
    text.parse().expect("a name")
}

fn somebody() -> Acquaintance {
    let identity = Identity::generate();
    Acquaintance {
        key: identity.key(),
        inbox: identity.inbox().clone(),
        secret: [7; 32].into(),
    }
}

fn names(home: &Home) -> Vec<String> {
    let devices = Devices::load_from(home).expect("can be read");
    let name = |device: &Device| device.name.to_string();
    devices.known.iter().map(name).collect()
}

fn kinds(result: Result<(), Failure>) -> (Exit, &'static str) {
    let failure = result.expect_err("must fail");
    assert!(!failure.hint.is_empty(), "{failure}");
    (failure.exit, failure.kind)
}

#[test]
fn devices_are_kept_renamed_and_removed() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::at(place.path().join("home"));
    let (laptop, desktop, phone) = (name("laptop"), name("desktop"), name("phone"));
    assert!(Devices::load_from(&home).unwrap().identity.is_none());
    let identity = prepare_in(&home, &laptop).unwrap();
    let who = somebody();
    keep_in(&home, &laptop, who.clone()).unwrap();
    keep_in(&home, &desktop, somebody()).unwrap();
    let devices = Devices::load_from(&home).unwrap();
    let (own, device) = devices.find(&laptop).unwrap();
    assert_eq!((own.key(), &device.who), (identity.key(), &who));
    assert_eq!(devices.with_key(who.key), Some(device));
    assert_eq!(names(&home), ["desktop", "laptop"]);
    let again = prepare_in(&home, &phone).unwrap();
    assert_eq!(again.key(), identity.key());

    let taken = (Exit::Usage, "usage");
    assert_eq!(kinds(prepare_in(&home, &laptop).map(drop)), taken);
    assert_eq!(kinds(keep_in(&home, &laptop, somebody())), taken);
    assert_eq!(kinds(rename_in(&home, &laptop, &desktop)), taken);
    assert_eq!(kinds(rename_in(&home, &phone, &phone)), taken);
    assert_eq!(kinds(remove_in(&home, &phone)), taken);
    assert_eq!(kinds(devices.find(&phone).map(drop)), taken);

    rename_in(&home, &laptop, &phone).unwrap();
    assert_eq!(names(&home), ["desktop", "phone"]);
    // The same device, paired anew.
    keep_in(&home, &laptop, who).unwrap();
    assert_eq!(names(&home), ["desktop", "laptop"]);
    remove_in(&home, &laptop).unwrap();
    assert_eq!(names(&home), ["desktop"]);
}

#[test]
fn what_is_damaged_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("home");
    let home = Home::at(&path);
    prepare_in(&home, &name("laptop")).unwrap();
    keep_in(&home, &name("laptop"), somebody()).unwrap();
    for file in [IDENTITY, DEVICES] {
        let good = fs::read_to_string(path.join(file)).unwrap();
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replacen("\"inbox\": \"", "\"inbox\": \"A", 1),
        ] {
            fs::write(path.join(file), bad).unwrap();
            let result = Devices::load_from(&home).map(drop);
            assert_eq!(kinds(result), (Exit::Local, "damaged"));
        }
        fs::write(path.join(file), good).unwrap();
    }
    assert_eq!(names(&home), ["laptop"]);
}

#[test]
fn nobody_is_lost_when_many_write_at_once() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::at(place.path().join("home"));
    prepare_in(&home, &name("x")).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let home = &home;
            scope.spawn(move || {
                keep_in(home, &name(&format!("device{number}")), somebody()).unwrap();
            });
        }
    });
    assert_eq!(names(&home).len(), 8);
}
