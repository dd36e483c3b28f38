"""One job on several stream processors: what people would use instead, beside this.

Of every network sample: means over 3, 5 and 10 samples and the change since the last one per
link, and how far the sample lies from the link's past. JSON in, JSON out.
"""
