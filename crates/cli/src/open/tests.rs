use super::*;
use crate::dm::fake::FakeDm;
use remap_core::format::{Geometry, MainShape, SetId};
use std::path::PathBuf;

fn open_args() -> OpenArgs {
    OpenArgs {
        main: PathBuf::from("/dev/null"),
        spare: PathBuf::from("/dev/null"),
        name: "archive".into(),
        offsets: Default::default(),
        readonly: false,
        linear: false,
        read_write: false,
        force: false,
        beside_idle: false,
    }
}

fn plan_of(target: &str, text: &str) -> Plan {
    let geometry = Geometry::new(2048, None).unwrap();
    let mapping = Mapping::parse("0:4001 0 1 0:4002 0").unwrap();
    Plan {
        uuid: "REMAP-1".into(),
        lines: vec![Line { start: 0, sectors: 8, target: target.into(), text: text.into() }],
        readonly: false,
        mapping,
        superblock: Superblock::new(SetId([1; 16]), MainShape::new(8, 512).unwrap(), geometry, 5),
        assembly: None,
        warnings: Vec::new(),
    }
}

fn plan() -> Plan {
    plan_of(TARGET, "0:4001 0 1 0:4002 0")
}

#[test]
fn a_device_is_created_loaded_and_resumed() {
    let dm = FakeDm::default();
    assert_eq!(activate(&open_args(), &dm, &plan()).unwrap(), "/dev/mapper/archive");
    assert_eq!(
        dm.calls(),
        ["create archive REMAP-1", "load archive 0 8 remap 0:4001 0 1 0:4002 0", "resume archive"]
    );
}

#[test]
fn a_linear_assembly_is_loaded_read_only_and_needs_no_target() {
    let dm = FakeDm { targets: vec![("linear".into(), [1, 0, 0])], ..FakeDm::default() };
    let plan = Plan { readonly: true, ..plan_of("linear", "0:4001 0") };
    activate(&OpenArgs { linear: true, ..open_args() }, &dm, &plan).unwrap();
    assert_eq!(dm.calls()[1], "load archive 0 8 linear 0:4001 0 read-only");
}

#[test]
fn a_missing_target_is_named_and_nothing_stays_behind() {
    let dm =
        FakeDm { load_error: Some(22), targets: vec![("linear".into(), [1, 0, 0])], ..FakeDm::default() };
    let failure = activate(&open_args(), &dm, &plan()).unwrap_err();
    assert!(failure.next.contains("modprobe dm_remap") && failure.next.contains("--linear"), "{failure}");
    assert!(dm.calls().contains(&"remove archive".to_string()));
}

#[test]
fn s27_the_words_of_the_kernel_are_passed_on() {
    let dm = FakeDm {
        load_error: Some(22),
        targets: vec![(TARGET.into(), [1, 0, 0])],
        said: Some("superblock of a newer format".into()),
        ..FakeDm::default()
    };
    let failure = activate(&open_args(), &dm, &plan()).unwrap_err();
    assert!(failure.what.contains("kernel: superblock of a newer format"), "{failure}");
    assert!(failure.next.contains("`dmremap open --linear /dev/null /dev/null archive`"), "{failure}");
    assert_eq!(failure.kind, Kind::Device);
}

#[test]
fn s20_a_set_that_was_opened_meanwhile_is_found_before_the_table_is_loaded() {
    let uuid = linear_uuid(&SetId([1; 16]), &plan().mapping);
    let dm = FakeDm::with_set("other-way", &uuid, crate::number::Number { major: 254, minor: 0 }, 0);
    assert_eq!(activate(&open_args(), &dm, &plan()).unwrap_err().kind, Kind::Busy);
    assert_eq!(dm.calls(), ["create archive REMAP-1", "remove archive"]);
}

/// `--force` answers what is said of main's content. It does not answer what is said of its users before (S21).
#[test]
fn s21_each_alarm_has_an_option_of_its_own() {
    use clap::Parser;
    let given = |option: &str| {
        let words = ["dmremap", "open", option, "main", "spare", "archive"];
        match crate::args::Cli::try_parse_from(words).unwrap().verb {
            crate::args::Verb::Open(args) => (args.force, args.beside_idle),
            verb => panic!("{verb:?}"),
        }
    };
    assert_eq!((given("--force"), given("--beside-idle")), ((true, false), (false, true)));
}

#[test]
fn the_path_of_the_device_to_be_is_taken_for_its_name() {
    use clap::Parser;
    for given in ["archive", "/dev/mapper/archive"] {
        let cli = crate::args::Cli::try_parse_from(["dmremap", "open", "main", "spare", given]).unwrap();
        let crate::args::Verb::Open(args) = cli.verb else { panic!("{given}") };
        assert_eq!(args.name, "archive");
    }
}

#[test]
fn names_are_checked() {
    assert!(check_name("archive-1.a").is_ok());
    for bad in ["", "a/b", "..", "control", "a b", &"x".repeat(128)] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn s12_a_minority_of_superblocks_is_for_linear_only() {
    let dir = tempfile::tempdir().unwrap();
    let (main, spare) = (dir.path().join("main"), dir.path().join("spare"));
    std::fs::write(&main, [0; 4096]).unwrap();
    let mut superblock = plan().superblock;
    superblock.formatting = false;
    let mut region = vec![0; 2048 * 4096];
    for copy in 0..2 {
        let at = superblock.geometry.superblock(copy).0 as usize * 4096;
        superblock.encode(copy, (&mut region[at..at + 4096]).try_into().unwrap());
    }
    std::fs::write(&spare, region).unwrap();
    for linear in [false, true] {
        let args = OpenArgs { main: main.clone(), spare: spare.clone(), force: true, linear, ..open_args() };
        let said = super::plan(&args, &FakeDm::default()).err().unwrap().to_string();
        // What is further on is that files are no devices.
        assert!(said.contains(if linear { "is a file" } else { "2 of 5" }), "{said}");
    }
}
