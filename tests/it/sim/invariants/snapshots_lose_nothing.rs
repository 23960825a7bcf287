//! Image to records to image loses nothing.

use yakt::ids::Stamp;
use yakt::image::Image;

use super::World;

pub(super) fn check(world: &mut World) -> Result<(), String> {
    for node in &world.nodes {
        let image = &node.applied.image;
        let mut loaded = Image::default();
        for (offset, record) in image.records().enumerate() {
            let stamp = Stamp {
                offset: offset as i64,
                time: 0,
            };
            loaded
                .apply(&record, stamp)
                .map_err(|error| format!("{record:?}: {error}"))?;
        }
        if !loaded.records().eq(image.records()) {
            return Err("an image loaded from its own records differs".to_owned());
        }
    }
    Ok(())
}
