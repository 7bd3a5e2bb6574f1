//! Developer commands of dm-remap, reached through `./x`.

mod checks;
mod kernels;
mod module;
mod paths;
mod rustflags;
mod sh;
mod toolchain;

fn main() {
    for series in std::env::args().skip(1) {
        match kernels::Kernel::fetch(&series).and_then(|k| module::build(&k)) {
            Ok(built) => {
                for c in built.checks { println!("ok {}: {}", c.name, c.seen); }
                println!("{}", built.ko.display());
            }
            Err(e) => { eprintln!("{e}"); std::process::exit(1) }
        }
    }
}
