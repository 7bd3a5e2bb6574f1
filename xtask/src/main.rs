//! Developer commands of dm-remap, reached through `./x`.

mod args;
mod checks;
mod cmd;
mod command;
mod compilers;
mod debian;
mod debug_kernel;
mod features;
mod finding;
mod host_clock;
mod imports;
mod initramfs;
mod kbuild;
mod kconfig;
mod kernel;
mod kernels;
mod layout;
mod lock;
mod module;
mod owner;
mod paths;
mod probe;
mod rustflags;
mod scenarios;
mod sh;
mod stack;
mod step;
mod test_modules;
mod tool;
mod toolchain;
mod vm;

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let name = if words.is_empty() { "--help".to_string() } else { words.remove(0) };
    std::process::exit(dispatch(&name, words));
}

/// Runs a subcommand; the exit status of the process.
fn dispatch(name: &str, words: Vec<String>) -> i32 {
    let asks = |word: &str| matches!(word, "help" | "--help" | "-h");
    if asks(name) {
        if let Some(about) = words.first().filter(|word| !asks(word)) {
            return dispatch(about, vec!["--help".into()]);
        }
        println!("usage: ./x COMMAND [ARGUMENT]...\n");
        for command in cmd::ALL {
            println!("  {:<8} {}", command.name, command.about);
        }
        println!("\n./x COMMAND --help says more about a command.");
        return 0;
    }
    let Some(command) = cmd::ALL.iter().find(|command| command.name == name) else {
        eprintln!("no command {name}; ./x --help lists them");
        return 2;
    };
    if words.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        print!("{}", command.help);
        return 0;
    }
    match (command.run)(args::Args::new(words)) {
        Ok(status) => status,
        Err(e) => {
            eprintln!("./x {name}: {e}");
            1
        }
    }
}
