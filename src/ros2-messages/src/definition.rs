//! Names and definitions of messages and services.

use std::fmt::Write;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What ROS knows a message by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Package, kind and name: `sensor_msgs/msg/Image`, `std_srvs/srv/SetBool_Request`.
    pub name: &'static str,
    /// One field or constant a line, as in a `.msg` file, without comments. Types of other packages and of its own are
    /// written `package/Name`.
    pub text: &'static str,
    /// The messages its fields consist of.
    pub parts: &'static [&'static Definition],
}

impl Definition {
    /// The name of the type on DDS: `sensor_msgs::msg::dds_::Image_`.
    pub fn dds_name(&self) -> String {
        let (path, name) = self.name.rsplit_once('/').unwrap_or(("", self.name));
        format!("{}::dds_::{name}_", path.replace('/', "::"))
    }

    /// The definition followed by those of all messages it consists of, each once: the schema `ros2msg` of MCAP files.
    pub fn schema(&self) -> String {
        let mut parts = Vec::new();
        self.collect(&mut parts);
        let mut schema = self.text.to_owned();
        for part in parts {
            let name = part.name.replace("/msg/", "/");
            let rule = "=".repeat(80);
            write!(schema, "{rule}\nMSG: {name}\n{}", part.text).expect("strings take all");
        }
        schema
    }

    fn collect(&self, into: &mut Vec<&'static Definition>) {
        for part in self.parts {
            if !into.contains(part) {
                into.push(part);
                part.collect(into);
            }
        }
    }
}

/// A message of ROS 2. As serde sees it, it has the fields of its definition in their order; written with
/// [`to_cdr`](crate::cdr::to_cdr) or any other CDR serialiser, it is what ROS sends.
pub trait Message: Serialize + DeserializeOwned {
    /// Its name and fields.
    const DEFINITION: &'static Definition;
}

/// A service of ROS 2.
pub trait Service {
    /// Package, kind and name: `std_srvs/srv/SetBool`.
    const NAME: &'static str;
    /// What a client sends.
    type Request: Message;
    /// What it gets.
    type Response: Message;
}

/// Gives a struct its definition: name, the types of its fields that are messages, and the text.
macro_rules! message {
    ($type:ty, $name:literal, [$($part:ty),*], $($line:literal)*) => {
        impl $crate::definition::Message for $type {
            const DEFINITION: &'static $crate::definition::Definition =
                &$crate::definition::Definition {
                    name: $name,
                    text: concat!($($line, "\n",)*),
                    parts: &[$(<$part as $crate::definition::Message>::DEFINITION),*],
                };
        }
    };
}

/// Declares a service of two messages.
macro_rules! service {
    ($(#[$doc:meta])* $service:ident, $name:literal, $request:ty, $response:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $service;

        impl $crate::definition::Service for $service {
            const NAME: &'static str = $name;
            type Request = $request;
            type Response = $response;
        }
    };
}

pub(crate) use {message, service};
