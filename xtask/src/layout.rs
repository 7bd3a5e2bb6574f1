//! Makes gcc confirm what bindgen found out with clang: sizes and offsets of the structures that both sides touch.

/// Structures whose fields Rust reads or writes, or that it sets memory aside for, as C names them.
const STRUCTS: [&str; 15] = [
    "bio",
    "bio_set",
    "bvec_iter",
    "block_device",
    "completion",
    "delayed_work",
    "dm_dev",
    "dm_target",
    "lock_class_key",
    "mutex",
    "queue_limits",
    "spinlock",
    "srcu_struct",
    "target_type",
    "wait_queue_head",
];

/// Assertions in C for what the bindings state about those structures.
pub fn assertions(bindings: &str) -> String {
    let mut text = String::from("/* Made from the bindings at build time. */\n");
    for line in bindings.lines().map(str::trim) {
        let Some((what, value)) = statement(line) else { continue };
        if let Some(name) = what.strip_prefix("Size of ") {
            if STRUCTS.contains(&name) {
                text.push_str(&format!(
                    "static_assert(sizeof(struct {name}) == {value}, \"size of {name}\");\n"
                ));
            }
        } else if let Some((name, field)) =
            what.strip_prefix("Offset of field: ").and_then(|s| s.split_once("::"))
        {
            let field = field.strip_suffix('_').unwrap_or(field);
            if STRUCTS.contains(&name) && !field.starts_with('_') {
                text.push_str(&format!(
                    "static_assert(offsetof(struct {name}, {field}) == {value}, \"{name}.{field}\");\n"
                ));
            }
        }
    }
    text
}

/// The text and the number of a line such as `["Size of bio"][::core::mem::size_of::<bio>() - 128usize];`.
fn statement(line: &str) -> Option<(&str, &str)> {
    let (what, rest) = line.strip_prefix("[\"")?.split_once("\"]")?;
    let value = rest.rsplit_once(" - ")?.1.strip_suffix("usize];")?;
    Some((what, value))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_offsets_become_assertions() {
        let bindings = "    [\"Size of bio\"][::core::mem::size_of::<bio>() - 128usize];\n\
            [\"Offset of field: dm_target::type_\"][::core::mem::offset_of!(dm_target, type_) - 8usize];\n\
            [\"Size of other\"][::core::mem::size_of::<other>() - 1usize];\n";
        let text = super::assertions(bindings);
        assert!(text.contains("sizeof(struct bio) == 128"));
        assert!(text.contains("offsetof(struct dm_target, type) == 8"));
        assert!(!text.contains("other"));
    }
}
