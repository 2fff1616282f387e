//! What `gst-inspect-1.0` prints of the elements.

use crate::installed::Installed;

fn reads_as_before(element: &str) {
    Installed::of("libgstmdetrros2.so").reads_as_before(element);
}

#[test]
fn mdetrros2src_reads_well() {
    reads_as_before("mdetrros2src");
}

#[test]
fn mdetrros2sink_reads_well() {
    reads_as_before("mdetrros2sink");
}
