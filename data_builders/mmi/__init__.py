"""MMI: videos of posed expressions, from neutral over the peak to neutral."""
