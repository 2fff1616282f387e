//! Rays against the four solids, each standing on the ground plane z = 0.

use crate::object::{Object, Shape};
use crate::vector::{Vec3, vec3};

/// Where a ray meets a surface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// Ray parameter: the point is origin + t x direction.
    pub t: f32,
    /// Outward unit normal.
    pub normal: Vec3,
}

/// An object's geometry, made ready for tracing.
#[derive(Clone, Debug)]
pub(crate) struct Solid {
    shape: Shape,
    base: Vec3,
    sin: f32,
    cos: f32,
    /// Half side of the cube, radius of the others' footprint.
    pub radius: f32,
    pub height: f32,
    /// Bounding sphere.
    pub centre: Vec3,
    pub bound: f32,
}

impl Solid {
    pub fn new(object: &Object) -> Solid {
        let r = object.radius;
        let (radius, height) = match object.shape {
            Shape::Sphere => (r, 2.0 * r),
            Shape::Cube => (r * CUBE_HALF_SIDE, 2.0 * r * CUBE_HALF_SIDE),
            Shape::Cylinder => (r * CYLINDER_RADIUS, r * CYLINDER_HEIGHT),
            Shape::Cone => (r * CONE_RADIUS, r * CONE_HEIGHT),
        };
        let half = height / 2.0;
        let (lift, bound) = match object.shape {
            Shape::Sphere => (half, r),
            Shape::Cube => (half, radius * 3f32.sqrt()),
            Shape::Cylinder => (half, radius.hypot(half)),
            Shape::Cone => {
                let bound = (radius * radius + height * height) / (2.0 * height);
                (height - bound, bound)
            }
        };
        let base = vec3(object.position[0], object.position[1], 0.0);
        let (sin, cos) = object.rotation.sin_cos();
        Solid {
            shape: object.shape,
            base,
            sin,
            cos,
            radius,
            height,
            centre: base + Vec3::UP * lift,
            bound,
        }
    }

    /// The first point of the surface at `t` > `t_min`, if the ray enters the solid there.
    pub fn intersect(&self, origin: Vec3, direction: Vec3, t_min: f32) -> Option<Hit> {
        let o = origin - self.base;
        let hit = match self.shape {
            Shape::Sphere => self.sphere(o, direction),
            Shape::Cube => {
                let local = o.rotated_z(-self.sin, self.cos);
                let hit = self.cube(local, direction.rotated_z(-self.sin, self.cos));
                hit.map(|h| Hit {
                    t: h.t,
                    normal: h.normal.rotated_z(self.sin, self.cos),
                })
            }
            Shape::Cylinder => self.cylinder(o, direction),
            Shape::Cone => self.cone(o, direction),
        };
        hit.filter(|h| h.t > t_min)
    }

    /// The normal a polished object with rounded edges would have at surface point `p`, whose
    /// geometric normal is `normal`: bent towards the neighbouring face near an edge, so that
    /// flat faces catch highlights too.
    pub fn rounded_normal(&self, p: Vec3, normal: Vec3) -> Vec3 {
        let bend = |v: f32| {
            let over = ((v.abs() - ROUNDING_START) / (1.0 - ROUNDING_START)).max(0.0);
            v.signum() * over * over
        };
        match self.shape {
            Shape::Sphere | Shape::Cone => normal,
            Shape::Cube => {
                let q = (p - self.base).rotated_z(-self.sin, self.cos);
                let n = vec3(
                    bend(q.x / self.radius),
                    bend(q.y / self.radius),
                    bend((q.z - self.radius) / self.radius),
                );
                (n + normal.rotated_z(-self.sin, self.cos) * FACE_WEIGHT)
                    .normalized()
                    .rotated_z(self.sin, self.cos)
            }
            Shape::Cylinder => {
                let q = p - self.base;
                let half = self.height / 2.0;
                let around = q.x.hypot(q.y) / self.radius;
                let outward = vec3(q.x, q.y, 0.0) * (bend(around) / (around * self.radius + 1e-6));
                let n = outward + Vec3::UP * bend((q.z - half) / half);
                (n + normal * FACE_WEIGHT).normalized()
            }
        }
    }

    fn sphere(&self, o: Vec3, d: Vec3) -> Option<Hit> {
        let oc = o - Vec3::UP * self.radius;
        let a = d.dot(d);
        let b = oc.dot(d);
        let c = oc.dot(oc) - self.radius * self.radius;
        let discriminant = b * b - a * c;
        if discriminant < 0.0 {
            return None;
        }
        let t = (-b - discriminant.sqrt()) / a;
        Some(Hit {
            t,
            normal: (oc + d * t) * (1.0 / self.radius),
        })
    }

    fn cube(&self, o: Vec3, d: Vec3) -> Option<Hit> {
        let half = self.radius;
        let o = o - Vec3::UP * half;
        let mut enter = f32::NEG_INFINITY;
        let mut leave = f32::INFINITY;
        let mut normal = Vec3::UP;
        let axes = [
            (o.x, d.x, vec3(1.0, 0.0, 0.0)),
            (o.y, d.y, vec3(0.0, 1.0, 0.0)),
            (o.z, d.z, Vec3::UP),
        ];
        for (o, d, axis) in axes {
            let inverse = 1.0 / if d == 0.0 { 1e-20 } else { d };
            let near = (-half * inverse.signum() - o) * inverse;
            let far = (half * inverse.signum() - o) * inverse;
            if near > enter {
                enter = near;
                normal = axis * -inverse.signum();
            }
            leave = leave.min(far);
        }
        (enter < leave).then_some(Hit { t: enter, normal })
    }

    fn cylinder(&self, o: Vec3, d: Vec3) -> Option<Hit> {
        let a = d.x * d.x + d.y * d.y;
        let b = o.x * d.x + o.y * d.y;
        let c = o.x * o.x + o.y * o.y - self.radius * self.radius;
        let discriminant = b * b - a * c;
        if discriminant < 0.0 || (a < 1e-12 && c > 0.0) {
            return None;
        }
        let (side_near, side_far) = if a < 1e-12 {
            (f32::NEG_INFINITY, f32::INFINITY)
        } else {
            let root = discriminant.sqrt();
            ((-b - root) / a, (-b + root) / a)
        };
        let inverse = 1.0 / if d.z == 0.0 { 1e-20 } else { d.z };
        let (top, bottom) = ((self.height - o.z) * inverse, -o.z * inverse);
        let (cap_near, cap_far) = (top.min(bottom), top.max(bottom));
        let enter = side_near.max(cap_near);
        if enter >= side_far.min(cap_far) {
            return None;
        }
        let normal = if side_near > cap_near {
            vec3(o.x + d.x * enter, o.y + d.y * enter, 0.0) * (1.0 / self.radius)
        } else {
            Vec3::UP * -d.z.signum()
        };
        Some(Hit { t: enter, normal })
    }

    fn cone(&self, o: Vec3, d: Vec3) -> Option<Hit> {
        let slope = self.radius / self.height;
        let k = slope * slope;
        let z = self.height - o.z;
        let a = d.x * d.x + d.y * d.y - k * d.z * d.z;
        let b = o.x * d.x + o.y * d.y + k * z * d.z;
        let c = o.x * o.x + o.y * o.y - k * z * z;
        let mut best: Option<Hit> = None;
        let mut offer = |t: f32, normal: Vec3| {
            if best.is_none_or(|h| t < h.t) {
                best = Some(Hit { t, normal });
            }
        };
        let discriminant = b * b - a * c;
        if discriminant >= 0.0 && a.abs() > 1e-9 {
            let root = discriminant.sqrt();
            for t in [(-b - root) / a, (-b + root) / a] {
                let p = o + d * t;
                if (0.0..=self.height).contains(&p.z) {
                    let outward = vec3(p.x, p.y, slope * slope * (self.height - p.z) + 1e-6);
                    offer(t, outward.normalized());
                }
            }
        }
        if d.z != 0.0 {
            let t = -o.z / d.z;
            let (x, y) = (o.x + d.x * t, o.y + d.y * t);
            if x * x + y * y <= self.radius * self.radius {
                offer(t, -Vec3::UP);
            }
        }
        best
    }

    /// Whether the bounding sphere, grown by `margin`, comes near the segment from `from` to
    /// `from` + `way`; no means that rays to points within `margin` of its end miss the solid.
    pub fn near_segment(&self, from: Vec3, way: Vec3, margin: f32) -> bool {
        let bound = self.bound + margin;
        let to_centre = self.centre - from;
        let square = way.dot(way);
        let along = to_centre.dot(way);
        // Both sides of distance-to-line <= bound, squared and times |way|^2.
        to_centre.dot(to_centre) * square - along * along <= bound * bound * square
    }

    /// Whether anything of the solid lies between `from` and `from` + `direction` (a unit
    /// vector) x `distance`.
    pub fn blocks(&self, from: Vec3, direction: Vec3, distance: f32) -> bool {
        let to_centre = self.centre - from;
        let along = to_centre.dot(direction);
        let bound = self.bound * self.bound;
        if along < -self.bound || to_centre.dot(to_centre) - along * along > bound {
            return false;
        }
        self.intersect(from, direction, 1e-3)
            .is_some_and(|h| h.t < distance)
    }
}

/// Proportions of the solids, in units of [`Object::radius`]: footprints and heights are chosen
/// so that the four shapes of one size cover about as many pixels.
const CUBE_HALF_SIDE: f32 = 0.80;
const CYLINDER_RADIUS: f32 = 0.84;
const CYLINDER_HEIGHT: f32 = 1.70;
const CONE_RADIUS: f32 = 1.0;
const CONE_HEIGHT: f32 = 2.1;

impl Object {
    /// Radius of the circle around its footprint, world units.
    pub fn footprint(&self) -> f32 {
        let radii = match self.shape {
            Shape::Sphere => 1.0,
            Shape::Cube => CUBE_HALF_SIDE * std::f32::consts::SQRT_2,
            Shape::Cylinder => CYLINDER_RADIUS,
            Shape::Cone => CONE_RADIUS,
        };
        self.radius * radii
    }
}

/// Where, from the middle of a face (0) to its edge (1), polished edges begin to round.
const ROUNDING_START: f32 = 0.35;
/// Weight of the face's own normal against the bend at its edge.
const FACE_WEIGHT: f32 = 1.0;

/// The tangents to a sphere seen from a point: least and greatest lateral / depth, for a centre
/// at this lateral offset and depth. `None` if the view point is in or too near the sphere.
pub(crate) fn tangent_range(lateral: f32, depth: f32, radius: f32) -> Option<(f32, f32)> {
    let distance = lateral.hypot(depth);
    if distance <= radius * 1.01 {
        return None;
    }
    let angle = lateral.atan2(depth);
    let half = (radius / distance).asin();
    let limit = std::f32::consts::FRAC_PI_2 - 0.01;
    (angle - half > -limit && angle + half < limit)
        .then(|| ((angle - half).tan(), (angle + half).tan()))
}
