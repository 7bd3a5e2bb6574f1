use super::check;
use super::graph::Graph;

/// A crate of the given files, in a directory of its own.
fn graph(name: &'static str, files: &[(&str, &str)]) -> Graph {
    let dir = std::env::temp_dir().join(format!("imports-{}-{name}", std::process::id()));
    for (path, text) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let graph = Graph::read(name, &dir.join("lib.rs")).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    graph
}

const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c;");

#[test]
fn a_circle_is_found_and_what_only_leads_to_it_is_not_in_it() {
    let files = [
        ROOT,
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; pub fn f() -> Option<super::a::A> { None }"),
        ("c.rs", "use super::a::A; pub struct C(A);"),
    ];
    let graph = graph("circle", &files);
    assert_eq!(graph.circles(), [["a", "b"]]);
    assert_eq!(graph.within(&["a", "b"]), "  a -> b (B)\n  b -> a (A)\n");
    assert!(graph.to_string().starts_with("circle: 4 modules, 3 imports, 1 circles\n"), "{graph}");
}

#[test]
fn a_line_of_imports_is_no_circle() {
    let files =
        [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c; type B = c::C;"), ("c.rs", "struct C;")];
    let graph = graph("line", &files);
    assert!(graph.circles().is_empty(), "{graph}");
    assert!(graph.to_string().contains("\n  b -> c\n"), "{graph}");
}

#[test]
fn a_circle_through_an_alias_a_macro_and_a_use_in_a_function_is_found() {
    let files = [
        ROOT,
        ("a.rs", "use crate::b as other; fn f() { println!(\"{}\", other::x()) }"),
        ("b.rs", "fn x() -> u8 { use crate::c::C; C.0 }"),
        ("c.rs", "pub struct C(u8); fn g(c: C) -> bool { matches!(c, crate::a::A { .. }) }"),
    ];
    assert_eq!(graph("hidden", &files).circles(), [["a", "b", "c"]]);
}

#[test]
fn what_a_parent_passes_on_counts_where_it_is_defined() {
    let child =
        |text| [("lib.rs", "mod p;"), ("p/mod.rs", "mod x; mod y; pub use x::X; pub struct P;"), text];
    let x = ("p/x.rs", "pub struct X;");
    let sibling = [&child(("p/y.rs", "use super::X; struct Y(X);"))[..], &[x]].concat();
    let clean = graph("passed-on", &sibling);
    assert!(clean.circles().is_empty(), "{clean}");
    assert!(clean.to_string().contains("\n  p::y -> p::x\n"), "{clean}");
    let own = [&child(("p/y.rs", "struct Y;"))[..], &[("p/x.rs", "use super::P; pub struct X(P);")]].concat();
    assert_eq!(graph("own", &own).circles(), [["p", "p::x"]]);
}

#[test]
fn tests_and_comments_import_nothing() {
    let files = [
        ROOT,
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "pub struct B; /* crate::a::A */ #[cfg(test)] mod tests { use crate::a::A; }"),
        ("c.rs", "#[cfg(test)] use crate::a::A; #[cfg(all(test, unix))] fn f(_: crate::a::A) {}"),
    ];
    let graph = graph("tests", &files);
    assert!(graph.circles().is_empty(), "{graph}");
    assert!(graph.to_string().contains(" 1 imports"), "{graph}");
}

#[test]
fn the_check_names_the_crate_the_circle_and_what_is_imported() {
    let clean = [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;"), ("c.rs", "")];
    let circle =
        [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A; pub struct B;"), ("c.rs", "")];
    let graphs = [graph("clean", &clean), graph("tied", &circle)];
    assert_eq!(check::circles(&graphs[..1]), "");
    let said = check::circles(&graphs);
    assert_eq!(said, "tied: modules import one another: a, b\n  a -> b (B)\n  b -> a (A)\n");
}
