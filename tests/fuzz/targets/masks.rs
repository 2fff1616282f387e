//! Run lengths of masks.
#![no_main]

use mdetr_grounding::rle::Rle;

libfuzzer_sys::fuzz_target!(|input: (u8, u8, i8, i8, &str)| {
    let (width, height, dx, dy, code) = input;
    let (width, height) = (u32::from(width), u32::from(height));
    if let Some(mask) = Rle::from_coco_string(code, width, height) {
        assert_eq!(mask.counts.iter().sum::<u32>(), width * height);
        let pixels = mask.decode();
        let ones = pixels.iter().filter(|&&pixel| pixel == 1).count();
        assert_eq!(ones, mask.area() as usize);
        assert_eq!(mask.shifted(0, 0).decode(), pixels);
        assert!(mask.shifted(dx.into(), dy.into()).area() <= mask.area());
        let again = Rle::from_coco_string(&mask.to_coco_string(), width, height);
        assert_eq!(again.as_ref(), Some(&mask));
        mask.resized(height, width);
    }
    // Sizes of a file may be anything.
    let _ = Rle::from_coco_string(code, width << 24, height << 24);
});
