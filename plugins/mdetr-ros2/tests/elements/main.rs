//! Tests of the plugin's elements that join no network. tests/ros2/test_elements.py has those that do, in one of its own.

mod common;
mod inspect;
mod properties;
