//! Creates a topic without partitions, which Kafka's own request cannot ask for. They are added one
//! by one.

use serde::{Deserialize, Serialize};

use super::Done;
use crate::api::create_topics;
use crate::records::TopicRecord;
use crate::refusal::Refusal;
use crate::rules::{Ctx, Decision};

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateTopic {
    /// A name that Kafka allows and no topic has.
    pub name: String,
}

impl CreateTopic {
    pub(super) fn decide(&self, ctx: &Ctx<'_>) -> Result<Decision<Done>, Refusal> {
        create_topics::check_name(ctx.image, &self.name)?;
        let topic_id = ctx.dice.uuid();
        let record = TopicRecord {
            name: self.name.clone(),
            topic_id,
        };
        Ok(Decision::write(
            vec![record.into()],
            Done::Topic { topic_id },
        ))
    }
}
