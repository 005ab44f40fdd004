//! The help texts and the parsing of arguments.
#![allow(clippy::unwrap_used)]

use super::*;

/// The help of a command and of its subcommands.
fn helps(command: &mut clap::Command, path: &str, helps: &mut Vec<(String, String)>) {
    helps.push((
        path.replace(' ', "_"),
        command.render_long_help().to_string(),
    ));
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    for name in names {
        let below = command.find_subcommand_mut(&name).unwrap();
        self::helps(below, &format!("{path} {name}"), helps);
    }
}

#[test]
fn help_of_every_command() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut found = Vec::new();
    helps(&mut command, "egression", &mut found);
    assert!(found.len() > 20, "{}", found.len());
    let kept =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/snapshots")).unwrap();
    let kept = kept
        .filter(|file| {
            file.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("__help_")
        })
        .count();
    assert_eq!(
        kept,
        found.len(),
        "a snapshot of a command that no longer exists"
    );
    for (name, text) in found {
        insta::assert_snapshot!(format!("help_{name}"), text);
    }
}

#[test]
fn command_definition_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_may_follow_the_command() {
    let cli = Cli::try_parse_from([
        "egression",
        "execution",
        "list",
        "--url",
        "http://127.0.0.1:7",
        "--output",
        "json",
    ])
    .unwrap();
    assert_eq!(
        (cli.global.url.port(), cli.global.output),
        (Some(7), Format::Json)
    );
}

#[test]
fn data_dir_option_is_distinguished_from_the_environment_variable() {
    let parsed = |args: &[&str]| parse(args.iter().map(OsString::from)).unwrap();
    for args in [
        ["egression", "--data-dir", "d", "serve"],
        ["egression", "serve", "--data-dir", "d"],
    ] {
        let (cli, source) = parsed(&args);
        assert_eq!(
            data_dir_by_source(cli.global.data_dir, source).option,
            Some("d".into()),
            "{args:?}"
        );
    }
    let variable = data_dir_by_source(Some("v".into()), Some(ValueSource::EnvVariable));
    assert_eq!(
        (variable.option, variable.variable),
        (None, Some("v".into()))
    );
}

#[test]
fn key_is_not_shown_in_debug_output() {
    let cli = Cli::try_parse_from(["egression", "--key", "egk_hush", "openapi"]).unwrap();
    assert!(!format!("{cli:?}").contains("hush"));
}
