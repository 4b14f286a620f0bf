use super::*;

const FLAGS: &[Flag] = &[
    Flag::new("on", Kind::Bool, "", "A switch."),
    Flag::new("off", Kind::Bool, "true", "Another."),
    Flag::new("name", Kind::Text, "x", "A text.").short('n'),
    Flag::new("many", Kind::List, "", "Some."),
    Flag::new("limit", Kind::Int, "5e2", "A number."),
];
const ROOT: Command<'_> = Command {
    name: "",
    help: "About.",
    flags: FLAGS,
    args: &[],
    commands: &[Command {
        name: "do",
        help: "Does things.",
        flags: &[],
        args: &[],
        commands: &[Command {
            name: "it",
            help: "Does it.",
            flags: &[Flag::new("must", Kind::GoDuration, "", "Needed.").required()],
            args: &[
                Arg { name: "first", kind: Kind::Text, required: true, many: false, default: "", help: "The first." },
                Arg { name: "rest", kind: Kind::Text, required: false, many: true, default: "", help: "The rest." },
            ],
            commands: &[],
        }],
    }],
};

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

fn run(line: &str) -> Values {
    match parse("prog", &ROOT, &words(line)) {
        Ok(Parsed::Run(v)) => v,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_form() {
    let v = run("--on do --no-off it --must 1h a -nfoo b --many=1 -- --many --limit");
    assert_eq!(v.command, ["do", "it"]);
    assert_eq!((v.bool("on"), v.bool("off"), v.text("name"), v.text("must"), v.text("limit")), (true, false, "foo", "1h", "5e2"));
    assert_eq!((v.list("many"), v.arg("first"), v.args("rest")), (&["1".to_string()][..], "a", &["b", "--many", "--limit"].map(String::from)[..]));
    assert_eq!(v.given(), ["on", "off", "must", "name", "many"]);
    let plain = run("do it --must=0 a");
    assert_eq!((plain.bool("off"), plain.text("name"), plain.args("rest").len()), (true, "x", 0));
}

#[test]
fn wrong_ones_in_kingpins_words() {
    for (line, text, is_structure) in [
        ("--nope", "unknown long flag '--nope'", true),
        ("--no-name do", "unknown long flag '--no-name'", true),
        ("-x", "unknown short flag '-x'", true),
        ("--name", "expected argument for flag '--name'", true),
        ("--name --on", "expected argument for flag '--name'", true),
        ("undo", "expected command but got \"undo\"", true),
        ("do", "must select a subcommand of 'do'", true),
        ("do it a", "required flag(s) '--must' not provided", true),
        ("do it --must=1h", "required argument 'first' not provided", true),
        ("do it --must=5 a", "time: missing unit in duration \"5\"", false),
        ("--name a --name b do it --must=1h a", "flag 'name' cannot be repeated", false),
        ("--limit=x do it --must=1h a", "strconv.ParseFloat: parsing \"x\": invalid syntax", false),
        ("@/nowhere", "failed to open arguments file \"/nowhere\": open /nowhere: no such file or directory", true),
    ] {
        assert_eq!(parse("prog", &ROOT, &words(line)).expect_err(line), Error { text: text.to_string(), is_structure }, "{line}");
    }
}

#[test]
fn help_says_what_there_is() {
    let Ok(Parsed::Help(text)) = parse("prog", &ROOT, &words("do it --help")) else { panic!("no help") };
    assert!(text.starts_with("usage: prog do it --must=MUST <first> [<rest>...]\n\nDoes it.\n"), "{text}");
    for part in ["  -h, --[no-]help ", "      --many=MANY ...", "  -n, --name=\"x\" ", "      --must=MUST", "Args:\n  <first>", "[<rest>]"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let all = help("prog", &ROOT, &[]).expect("help");
    assert!(all.contains("\nCommands:\nhelp [<command>...]\n") && all.contains("\ndo it --must=MUST <first> [<rest>...]\n    Does it.\n"), "{all}");
    assert!(matches!(parse("prog", &ROOT, &words("--version")), Ok(Parsed::Version)));
}
