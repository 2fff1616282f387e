//! What `gst-inspect-1.0` prints of the elements.

use crate::installed::Installed;

fn reads_as_before(element: &str) {
    Installed::of("libgstmdetr.so").reads_as_before(element);
}

#[test]
fn mdetr_reads_well() {
    reads_as_before("mdetr");
}

#[test]
fn mdetrtrack_reads_well() {
    reads_as_before("mdetrtrack");
}

#[test]
fn mdetrrules_reads_well() {
    reads_as_before("mdetrrules");
}

#[test]
fn mdetroverlay_reads_well() {
    reads_as_before("mdetroverlay");
}

#[test]
fn mdetr2json_reads_well() {
    reads_as_before("mdetr2json");
}

#[test]
fn tabletopsrc_reads_well() {
    reads_as_before("tabletopsrc");
}
