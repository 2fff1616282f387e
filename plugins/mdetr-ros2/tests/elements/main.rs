//! Tests of the plugin's elements that join no network. tests/ros2/test_elements.py has those that do, in one of its own.

mod common;
mod inspect;
#[path = "../../../common/tests/installed/mod.rs"]
mod installed;
mod properties;
