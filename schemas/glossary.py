"""What each field means, in one line; with a unit where its type does not state one.

The published schemas take a field's documentation from here. A name means the same
in every record; where it cannot, `Record.field` comes first.

Types state units and ranges (`schemas.field`); a unit stands here only for a field
whose type is a bare number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """What a field says, and the unit of a bare number."""

    doc: str
    unit: str = ""


NONE: Final = "none"
"""Unit of what has no unit: text, flags, enumerations."""

_TARGETS: Final = "Mbps, ms, 1, ms"

_IDENTITY: Final = {
    "id": Meaning("Deterministic id, <origin>:<kind>; the same on every replay, so repeats can be dropped by it"),
    "timestamp": Meaning("When it happened (event time), UTC"),
    "event_id": Meaning("The producer's id of the transfer"),
    "node_id": Meaning("The node; of a link, its sending end"),
    "peer_id": Meaning("The link's receiving end"),
    "vm_id": Meaning("The virtual machine that moves; empty when unknown"),
    "request_id": Meaning("The request that the transfer belongs to; empty when unknown"),
    "session_id": Meaning("The session that the transfer belongs to; empty when unknown"),
    "region": Meaning("Region of the node, for example us-east; empty when unknown"),
    "az": Meaning("Availability zone of the node; empty when unknown"),
    "link_type": Meaning("How far the link reaches"),
    "network_tier": Meaning("Network tier: 1 premium, 2 standard, 3 economy", "tier"),
}

_TRANSFER: Final = {
    "bandwidth_available_mbps": Meaning("Bandwidth free for the transfer"),
    "bandwidth_utilization": Meaning("Share of the link's bandwidth in use"),
    "payload_size": Meaning("Size of the payload before compression"),
    "payload_type": Meaning("What is transferred"),
    "entropy_estimate": Meaning("Shannon entropy of the payload; null when it was not estimated"),
    "repetition_score": Meaning("Share of the payload's blocks that repeat; null when it was not estimated"),
    "has_baseline": Meaning("Whether the receiver holds a baseline to take deltas against"),
    "hde_compression_ratio": Meaning("History: original size / compressed size of HDE on the link; null without any"),
    "hde_delta_hit_rate": Meaning("History: share of blocks that HDE found in the baseline; null without any"),
    "hde_latency_ms": Meaning("History: latency of HDE on the link; null without any"),
    "hde_cpu_usage": Meaning("History: CPU that HDE took; null without any"),
    "amst_stream_count": Meaning("History: parallel streams of AMST on the link; null without any", "streams"),
    "amst_transfer_rate_mbps": Meaning("History: transfer rate of AMST on the link; null without any"),
    "amst_latency_ms": Meaning("History: latency of AMST on the link; null without any"),
    "amst_cpu_usage": Meaning("History: CPU that AMST took; null without any"),
    "actual_algorithm": Meaning("Outcome: what the transfer used; null before it is known"),
    "actual_latency_ms": Meaning("Outcome: how long the transfer took; null before it is known"),
    "actual_throughput_mbps": Meaning("Outcome: rate that the transfer reached; null before it is known"),
    "outcome_hde_compression_ratio": Meaning("Outcome of HDE: original size / compressed size; null when not measured"),
    "outcome_hde_latency_ms": Meaning("Outcome of HDE: latency; null when not measured"),
    "outcome_hde_cpu_usage": Meaning("Outcome of HDE: CPU; null when not measured"),
    "outcome_amst_transfer_rate_mbps": Meaning("Outcome of AMST: transfer rate; null when not measured"),
    "outcome_amst_latency_ms": Meaning("Outcome of AMST: latency; null when not measured"),
    "outcome_amst_cpu_usage": Meaning("Outcome of AMST: CPU; null when not measured"),
    "quality_score": Meaning("Share of the 19 features that are present; set by ingest"),
    "is_training_candidate": Meaning("Whether quality_score is high enough for a training set; set by ingest"),
}

_DECISION: Final = {
    "label": Meaning("The mechanism that was best, by the oracle"),
    "utility_hde": Meaning("Utility of HDE by the formula", "1"),
    "utility_amst": Meaning("Utility of AMST by the formula", "1"),
    "margin": Meaning("Share of the better utility that the worse choice loses", "1"),
    "formula": Meaning("Formula of the utilities"),
    "label_source": Meaning("Whether the utilities are from what happened or from the link's history"),
    "algorithm": Meaning("The decision: mechanism to use"),
    "probability_amst": Meaning("Probability that AMST is the better one"),
    "confidence": Meaning("How sure the prediction is"),
    "heuristic_algorithm": Meaning("What the fallback heuristic says of the same transfer"),
    "fallback": Meaning("Whether something else decided than the model that should have"),
    "fallback_reason": Meaning("Why that model did not decide; empty when it did"),
    "expected_utility_hde": Meaning("Utility that the online model expects of HDE; null before it has learned", "1"),
    "expected_utility_amst": Meaning("Utility that the online model expects of AMST; null before it has learned", "1"),
    "propensity": Meaning("Probability with which this algorithm was chosen; null when nothing is explored"),
    "shadow_version": Meaning("Version of the model that was asked the same and decides nothing; empty without one"),
    "shadow_probability_amst": Meaning("What the shadow says; null without one"),
    "experiment_arm": Meaning("Arm of the experiment that the request is in; empty outside of any"),
    "SelectorPrediction.model_name": Meaning("The model that decided, or heuristic"),
    "SelectorPrediction.model_version": Meaning("Version of what decided"),
    "model_name": Meaning("The model that was asked"),
    "model_version": Meaning("Version of the model that was asked"),
}

_NETWORK: Final = {
    "rtt_ms": Meaning("Round-trip time"),
    "jitter_ms": Meaning("Jitter: standard deviation of the round-trip time"),
    "throughput_mbps": Meaning("Rate the link carries"),
    "packet_loss": Meaning("Lost packets / sent packets"),
    "bytes_tx": Meaning("Bytes sent since the last sample"),
    "bytes_rx": Meaning("Bytes received since the last sample"),
    "retransmits": Meaning("Segments sent again since the last sample", "segments"),
    "congestion_window": Meaning("Congestion window", "segments"),
    "queue_depth": Meaning("Packets that wait to be sent", "packets"),
    "dwcp_mode": Meaning("DWCP's operating mode"),
    "transport_type": Meaning("Transport beneath DWCP"),
    "feature_schema": Meaning("Name and version of the features' order"),
    "features": Meaning("The 34 features of the sample, in the order that feature_schema names", "as each feature"),
    "prediction_time": Meaning("Event time of the sample that the forecast was made from, UTC"),
    "target_time": Meaning("The time that is forecast, UTC"),
    "valid_until": Meaning("When the forecast is of no more use, UTC"),
    "predicted_bandwidth_mbps": Meaning("Bandwidth at target_time", "Mbps (1e6 bit/s)"),
    "predicted_latency_ms": Meaning("Round-trip time at target_time", "ms"),
    "predicted_packet_loss": Meaning("Packet loss at target_time", "1"),
    "predicted_jitter_ms": Meaning("Jitter at target_time", "ms"),
    "lower": Meaning("Lower ends of the 90 % intervals: bandwidth, latency, loss, jitter", _TARGETS),
    "upper": Meaning("Upper ends of the 90 % intervals: bandwidth, latency, loss, jitter", _TARGETS),
    "amst_streams": Meaning("AMST parameter: parallel streams", "streams"),
    "amst_buffer_bytes": Meaning("AMST parameter: buffer per stream", "bytes"),
    "amst_chunk_bytes": Meaning("AMST parameter: chunk per write", "bytes"),
    "amst_pacing_bytes_per_second": Meaning("AMST parameter: pacing rate", "bytes/s"),
    "amst_window_bytes": Meaning("AMST parameter: buffers of all streams", "bytes"),
    "amst_action": Meaning("Whether to apply the AMST parameters"),
    "amst_reason": Meaning("Why, in words"),
    "target_confidence": Meaning("How sure of each target: bandwidth, latency, loss, jitter", "1"),
    "actual": Meaning("What was measured: bandwidth, latency, loss, jitter", _TARGETS),
    "error": Meaning("Absolute errors of the forecast: bandwidth, latency, loss, jitter", _TARGETS),
    "persistence_error": Meaning("Absolute errors of the sample at prediction_time taken as forecast", _TARGETS),
    "moving_average_error": Meaning("Absolute errors of the moving average taken as forecast", _TARGETS),
    "covered": Meaning("Whether the interval held the measurement: bandwidth, latency, loss, jitter"),
    "amst_effectiveness": Meaning(
        "Actual over predicted throughput, where the forecast's AMST parameters were applied", "1"
    ),
}

_SYSTEM: Final = {
    "latency_mean": Meaning("Mean latency of requests"),
    "latency_std": Meaning("Standard deviation of the latency of requests"),
    "latency_p95": Meaning("95th percentile of the latency of requests"),
    "latency_p99": Meaning("99th percentile of the latency of requests"),
    "throughput_mean": Meaning("Mean throughput", "requests/s"),
    "throughput_std": Meaning("Standard deviation of the throughput", "requests/s"),
    "error_rate": Meaning("Share of requests that failed"),
    "error_count": Meaning("Requests that failed", "requests"),
    "cpu_usage": Meaning("CPU in use"),
    "memory_usage": Meaning("Memory in use"),
    "disk_usage": Meaning("Disk space in use"),
    "network_io": Meaning("Network traffic", "MB/s"),
    "disk_io": Meaning("Disk traffic", "MB/s"),
    "compression_ratio": Meaning("Original size / compressed size over all transfers", "1"),
    "prediction_accuracy": Meaning("Accuracy of the bandwidth predictions, as the node reports it"),
    "consensus_time": Meaning("Time that ACP takes to agree"),
    "network_bandwidth": Meaning("Network bandwidth in use", "Gbps"),
    "storage_used": Meaning("Storage in use", "TB"),
    "request_rate": Meaning("Requests arriving", "requests/s"),
    "anomaly_score": Meaning("How unusual the record is: 0 usual, 1 as unusual as can be"),
    "threshold": Meaning("Score from which a record is an anomaly"),
    "is_anomaly": Meaning("Whether anomaly_score reached the threshold"),
    "detection_method": Meaning("The detector whose score it is"),
    "suppressed": Meaning("Whether it is an anomaly that a maintenance window kept from alerting"),
    "anomaly_type": Meaning("What kind of trouble it is"),
    "severity": Meaning("How bad it is"),
    "severity_score": Meaning("How bad it is, as a number"),
    "top_contributing_features": Meaning("The metrics that pushed the score most, first the strongest"),
    "metrics": Meaning("The node's metrics, by name", "as each metric"),
    "baseline_comparison": Meaning("Each metric beside its baseline on the node, by name", "as each metric"),
    "recommended_actions": Meaning("What to do, first the most urgent"),
    "Anomaly.status": Meaning("open: it begins; update: worse, or five minutes on; resolved: five quiet minutes"),
    "alert_id": Meaning("The alert, <node>/<opened_at>:<type>, the same on all its records"),
    "opened_at": Meaning("Event time of the alert's first record, UTC"),
    "last_seen_at": Meaning("Event time of the alert's last anomalous record, UTC"),
    "occurrences": Meaning("Anomalous records in the alert so far", "records"),
    "metric_group": Meaning("The metrics it is about; all where no single group is"),
    "Anomaly.peer_id": Meaning("Receiving end of the link that the alert is about; empty for a node"),
    "BaselineComparison.current": Meaning("Value of the metric", "as the metric"),
    "BaselineComparison.baseline_mean": Meaning("Mean of the metric's baseline", "as the metric"),
    "BaselineComparison.baseline_p95": Meaning("95th percentile of the metric's baseline", "as the metric"),
    "BaselineComparison.deviation_pct": Meaning("Distance from the baseline's mean", "%"),
    "BaselineComparison.z_score": Meaning("Distance from the baseline's mean in standard deviations", "1"),
}

_DRIFT: Final = {
    "model": Meaning("The model that is watched"),
    "feature": Meaning("What of it changed: an error or an input"),
    "statistic": Meaning("The test that found the change"),
    "value": Meaning("What the statistic found: the mean after a change, or a distance", "as the feature"),
    "DriftAlert.threshold": Meaning("How far the value may go without an alert", "as the feature"),
    "level": Meaning("warning: worth a look; alert: retrain"),
    "window": Meaning("Observations that the statistic was computed over", "observations"),
    "reference_version": Meaning("Version of the model or reference that the change is against"),
}

_CAPACITY: Final = {
    "CapacityForecast.id": Meaning("Deterministic id, <scope>/<resource>/<timestamp>:capacity.forecast"),
    "CapacityPlan.id": Meaning("Deterministic id, <scope>/<timestamp>:capacity.plan"),
    "CapacityAlert.id": Meaning("Deterministic id, <scope>/<resource>/<timestamp>:capacity.alert"),
    "CapacityForecast.timestamp": Meaning("Event time of the last measurement it was made from, UTC"),
    "CapacityPlan.timestamp": Meaning("Event time of the last measurement it was made from, UTC"),
    "scope": Meaning("What runs out or is tuned together: a node's id, or the name of a group of nodes"),
    "resource": Meaning("Which resource: cpu, memory, network, storage, request_rate, latency, or one configured"),
    "CapacityForecast.unit": Meaning("Unit of all its values: percent of what the scope has, or ms"),
    "CapacityNeed.unit": Meaning("Unit of its values: percent of what the scope has, or ms"),
    "CapacityAlert.unit": Meaning("Unit of its values: percent of what the scope has, or ms"),
    "CapacityForecast.model_name": Meaning("The method, chosen for this series by backtest"),
    "CapacityForecast.model_version": Meaning("Version of the method"),
    "history_points": Meaning("Measurements that it was made from", "measurements"),
    "first_target_time": Meaning("Time of the first value of each list, UTC"),
    "step_ms": Meaning("Time from each value of a list to the next", "ms"),
    "predicted": Meaning("The resource at each step", "as unit says"),
    "CapacityForecast.lower": Meaning("Lower end of the 95 % interval at each step", "as unit says"),
    "CapacityForecast.upper": Meaning("Upper end of the 95 % interval at each step", "as unit says"),
    "CapacityForecast.threshold": Meaning("Level from which to warn", "as unit says"),
    "CapacityNeed.threshold": Meaning("Level from which to warn", "as unit says"),
    "CapacityAlert.threshold": Meaning("Level from which to warn", "as unit says"),
    "critical_threshold": Meaning("Level that is not to be reached", "as unit says"),
    "threshold_probability": Meaning("Probability that threshold was reached by each step; never decreases", "1"),
    "critical_probability": Meaning("Probability that critical_threshold was reached by each step", "1"),
    "mase": Meaning("Error in backtests / that of seasonal naive; null without a backtest", "1"),
    "coverage": Meaning("Share of measurements inside the intervals in backtests; null without a backtest"),
    "generated_at": Meaning("When the plan was made, UTC"),
    "horizon_days": Meaning("How far ahead the plan looks", "days"),
    "needs": Meaning("What each resource needs, by resource", "as each resource"),
    "CapacityPlan.cost_estimate": Meaning("Cost of all that the plan adds", "cost_unit"),
    "CapacityNeed.cost_estimate": Meaning("Cost of what is added", "the plan's cost_unit"),
    "cost_unit": Meaning("Unit of the costs, as the unit costs are configured, for example USD/month"),
    "timeline": Meaning("What to do by when, the earliest first"),
    "risks": Meaning("What may make the plan wrong, in words"),
    "CapacityNeed.current": Meaning("The resource now: mean of the last day", "as unit says"),
    "CapacityAlert.current": Meaning("The resource at timestamp", "as unit says"),
    "CapacityNeed.forecast": Meaning("The resource at the end of the horizon", "as unit says"),
    "CapacityAlert.forecast": Meaning("What was forecast for timestamp", "as unit says"),
    "exceeds_at": Meaning(
        "When the forecast reaches critical_threshold, or a chance of one half to have reached it, UTC; null for never"
    ),
    "days_to_threshold": Meaning("From timestamp to exceeds_at; null when not within the horizon", "days"),
    "exceeds_probability": Meaning("Probability that critical_threshold is reached within the horizon"),
    "urgency": Meaning("By days_to_threshold: URGENT below 7, HIGH below 14, MEDIUM below 30, else LOW"),
    "previous_urgency": Meaning("Urgency before; null when there was none"),
    "add_pct": Meaning(
        "What to add so that forecast, with a buffer of 20 %, stays below threshold", "% of today's capacity"
    ),
    "recommended_action": Meaning("What to do, in words"),
    "due": Meaning("When it has to be done, UTC"),
    "action": Meaning("What to do, in words"),
    "CapacityAlert.reason": Meaning("urgency: it changed; divergence: the resource left its forecast"),
    "divergence_pct": Meaning("Distance of current from forecast", "% of forecast"),
}

_OPTIMIZER: Final = {
    "OptimizerRequest.request_id": Meaning("The requester's id of the request"),
    "OptimizerRequest.timestamp": Meaning("When it was asked, UTC"),
    "current": Meaning("Parameters in force, by name; those left out are not tuned", "as each parameter"),
    "trigger": Meaning("Why: asked for, performance fell, traffic or configuration changed, or the last one is old"),
    "max_memory_pct": Meaning("Soft limit: memory in use after the change"),
    "max_cpu_pct": Meaning("Soft limit: CPU in use after the change"),
    "max_cost_increase_pct": Meaning("Soft limit: how much more the change may cost", "% of today's cost"),
    "requested_by": Meaning("Who asked; empty when unknown"),
    "OptimizerRecommendation.request_id": Meaning("The request that it answers; empty when a trigger asked"),
    "changes": Meaning("The parameters that change, each before and after", "as each parameter"),
    "parameter": Meaning("Which parameter: of HDE, of PBA's forecasts, or of the ACP consensus"),
    "ParameterChange.unit": Meaning("Unit of the parameter"),
    "before": Meaning("Value in force", "as unit says"),
    "after": Meaning("Value recommended", "as unit says"),
    "minimum": Meaning("Hard limit: lowest value that may be set", "as unit says"),
    "maximum": Meaning("Hard limit: highest value that may be set", "as unit says"),
    "sensitivity": Meaning("Change of the reward per step up, 5 % of the range; null when not known", "1"),
    "reward": Meaning("Expected improvement as a share, less cost_penalty", "1"),
    "cost_penalty": Meaning("What the change's cost takes off the reward", "1"),
    "improvement_pct": Meaning("Expected improvement of the scope's performance", "%"),
    "improvement_lower_pct": Meaning("Lower end of the improvement's 95 % interval", "%"),
    "improvement_upper_pct": Meaning("Upper end of the improvement's 95 % interval", "%"),
    "constraints": Meaning("Soft limits, each beside what is expected", "as each constraint"),
    "constraint": Meaning("Which soft limit: memory or CPU in use, or increase of the cost"),
    "limit": Meaning("The most that is allowed"),
    "expected": Meaning("What is expected after the change", "%"),
    "satisfied": Meaning("Whether expected is within limit"),
    "OptimizerRecommendation.valid_until": Meaning("When the recommendation is of no more use, UTC"),
    "OptimizerRecommendation.model_name": Meaning("The policy that recommends"),
    "OptimizerRecommendation.model_version": Meaning("Version of the policy"),
    "OptimizerRecommendation.state": Meaning(
        "What was seen of the partition: 35 numbers by name, mostly logarithms; null of older releases", "1"
    ),
    "context": Meaning(
        "What was told of the tuned system's context, logarithms by name; empty when nothing was or it was belied",
        "1",
    ),
    "cost_effect_pct": Meaning(
        "How much more the new values cost, traffic and processor time; null before there are samples", "%"
    ),
    "OptimizerRollout.id": Meaning("Deterministic id, <rollout_id>/<stage_pct>/<status>:optimizer.rollout"),
    "rollout_id": Meaning("The rollout; the same at every stage"),
    "recommendation_id": Meaning("id of the recommendation that is rolled out"),
    "OptimizerRollout.status": Meaning("Whether the stage runs, passed its test, was the last, or all was taken back"),
    "stage_pct": Meaning("Share of the scope's nodes that have the new values: 5, 25, 50, then 100"),
    "stage_started_at": Meaning("When the stage began, UTC"),
    "control_samples": Meaning("Samples of nodes with the old values, in this stage", "samples"),
    "treatment_samples": Meaning("Samples of nodes with the new values, in this stage", "samples"),
    "effect_pct": Meaning("Improvement of the new values over the old; null before there are samples", "%"),
    "effect_lower_pct": Meaning("Lower end of the effect's 95 % interval; null before there are samples", "%"),
    "effect_upper_pct": Meaning("Upper end of the effect's 95 % interval; null before there are samples", "%"),
    "p_value": Meaning("Probability of such a difference, or a larger one, were there no effect"),
    "OptimizerRollout.p_value": Meaning("Of the stage's significance test; null before it was made"),
    "significance_level": Meaning("What p_value must stay below for the next stage"),
    "reason": Meaning("Why, in words"),
}

_ROLLUP: Final = {
    "SystemRollup.timestamp": Meaning("Event time of the window's last record, UTC"),
    "SystemRollup.window": Meaning("Length of the window: an hour or a day, of UTC"),
    "window_start": Meaning("When the window begins, UTC"),
    "window_end": Meaning("When the window ends, UTC; that moment is outside"),
    "SystemRollup.samples": Meaning("Records in the window", "records"),
    "SystemRollup.metrics": Meaning("The window's figures, by metric (a field of SystemMetrics)", "as each metric"),
    "mean": Meaning("Mean of the metric", "as the metric"),
    "max": Meaning("Greatest value of the metric", "as the metric"),
    "p95": Meaning("95th percentile of the metric, estimated as the records came", "as the metric"),
}

_PERFORMANCE: Final = {
    "samples": Meaning("Samples that the features are computed over", "samples"),
    "PerformanceFeatures.features": Meaning(
        "27 features by metric (a field of SystemMetrics), in this order: "
        "hour_of_day, day_of_week, minutes_since_spike, mean, std, min, max, q05, q25, q50, q75, q95, q99, skewness, "
        "kurtosis, dominant_frequency_hz, spectral_entropy, lag_1, lag_2, lag_3, lag_6, lag_12, "
        "diff_1, diff_2, diff_3, diff_6, diff_12",
        "as the metric; h, days, min, Hz or 1 where the name says so",
    ),
    "DegradationPrediction.target_time": Meaning("Time of the last step that is predicted, UTC"),
    "forecast_horizon": Meaning("How many steps ahead it looks", "steps"),
    "latency_objective_ms": Meaning("What latency_mean must stay below"),
    "degradation_probability": Meaning("Probability that latency_mean reaches the objective within the horizon"),
    "predicted_metrics": Meaning("Metrics at each step, by name", "as each metric"),
    "DegradationPrediction.top_contributing_features": Meaning(
        "What drives the prediction, first the strongest, each as <metric>.<feature>"
    ),
    "recommendations": Meaning("What to do, first the most urgent"),
    "DegradationPrediction.model_name": Meaning("The model that predicts"),
    "DegradationPrediction.model_version": Meaning("Version of the model that predicts"),
    "optimal_allocation": Meaning(
        "Cheapest allocation that keeps the objective, of each resource that latency follows; null unless it was asked "
        "for, or where the measurements do not support one",
        "% of what the node has now",
    ),
    "expected_performance": Meaning(
        "Under that allocation when busy: latency_mean with 90 % bounds _lower and _upper, _now without it, _objective "
        "that was asked for, <resource>_pct used, load_pct of what was measured; null without one",
        "ms, %",
    ),
    "DegradationPrediction.cost_estimate": Meaning(
        "Cost of those resources as allocated; null without an allocation, or where a size is not configured",
        "as the unit costs are configured",
    ),
    "allocation_confidence": Meaning(
        "Share of resamples of the measurements in which that allocation keeps the objective; null without one"
    ),
    "allocation_reason": Meaning(
        "Why there is no allocation, or why it misses the objective; empty where it keeps it, null unless asked for"
    ),
}

_MODEL: Final = {
    "ModelAnnouncement.id": Meaning("Deterministic id, <model_name>:<model_version>/<timestamp>:model.announcement"),
    "ModelAnnouncement.timestamp": Meaning("When the version came to the stage, UTC"),
    "ModelAnnouncement.model_name": Meaning("Name of the model, the same for all its versions"),
    "ModelAnnouncement.model_version": Meaning("The version; never used again for another artifact"),
    "stage": Meaning("What the version is used for; only the champion's answers are published"),
    "previous_stage": Meaning("Its stage before; null when it is new"),
    "artifact": Meaning("Path of the artifact within the model store"),
    "artifact_format": Meaning("What the artifact is: an ONNX model, or arrays of numbers"),
    "artifact_bytes": Meaning("Size of the artifact"),
    "artifact_sha256": Meaning("SHA-256 of the artifact, 64 hex digits; it is not loaded when it differs"),
    "ModelAnnouncement.feature_schema": Meaning("Name and version of the features that the model takes"),
    "feature_schema_sha256": Meaning("SHA-256 of the features' names in order, one per line"),
    "trained_at": Meaning("When training ended, UTC"),
    "training_from": Meaning("Event time of the oldest training row, UTC"),
    "training_to": Meaning("Event time of the newest training row, UTC"),
    "training_rows": Meaning("Rows it was trained on", "rows"),
    "training_data_sha256": Meaning("SHA-256 of the data set it was trained on"),
    "ModelAnnouncement.metrics": Meaning("What it reached on held-out data, by metric", "as each metric's name says"),
    "gates": Meaning("Conditions for promotion, and what was reached", "as each gate's name says"),
    "gate": Meaning("The metric that the condition is on"),
    "Gate.value": Meaning("What was reached", "as the gate's name says"),
    "Gate.limit": Meaning("What has to be reached", "as the gate's name says"),
    "comparison": Meaning("How value must compare with limit"),
    "passed": Meaning("Whether the condition holds"),
    "library_versions": Meaning("Libraries it was made with, by name"),
    "held": Meaning("Whether it was rolled back and may not be promoted until released"),
    "announced_by": Meaning("Who or what announced it; empty when unknown"),
    "signature": Meaning("HMAC-SHA256 of all other fields, base64; empty when announcements are not signed"),
    "ModelRejection.id": Meaning("Deterministic id, <model_name>:<model_version>/<hash>/<worker>:model.rejection"),
    "ModelRejection.timestamp": Meaning("When the worker refused it, UTC"),
    "ModelRejection.model_name": Meaning("Name of the model that was refused"),
    "ModelRejection.model_version": Meaning("The version that was refused"),
    "ModelRejection.reason": Meaning("What is wrong with it"),
    "message": Meaning("The same in words, with what was found"),
    "worker": Meaning("The worker that refused it; empty when unknown"),
}

_EXPERIMENT: Final = {
    "ExperimentState.id": Meaning("Deterministic id, <experiment_id>/<timestamp>:experiment.state"),
    "ExperimentResult.id": Meaning("Deterministic id, <experiment_id>/<look>:experiment.result"),
    "experiment_id": Meaning("The experiment"),
    "ExperimentState.status": Meaning("Whether it runs, how it ended, or that all requests have the control again"),
    "ramp_pct": Meaning("Share of requests that the treatment gets: 1, 10, 50, then 100"),
    "ExperimentState.model_name": Meaning("The model whose versions are compared"),
    "control_version": Meaning("Version that the control uses: the champion's, or heuristic"),
    "treatment_version": Meaning("Version that the treatment uses: the challenger's"),
    "primary_metric": Meaning("The metric that decides"),
    "started_at": Meaning("When the experiment began, UTC"),
    "control_requests": Meaning("Requests in the control so far", "requests"),
    "treatment_requests": Meaning("Requests in the treatment so far", "requests"),
    "min_requests_per_arm": Meaning("Requests that each arm needs before it is decided", "requests"),
    "looks": Meaning("Interim analyses so far", "looks"),
    "look_numbers": Meaning(
        "Of each look, which of the planned times it was taken at, from 1; null before the first", "looks"
    ),
    "information": Meaning(
        "What each look knew: as many requests as an equal comparison would; null before the first", "requests"
    ),
    "look": Meaning("Which look it is, from 1", "looks"),
    "looks_planned": Meaning("Looks that the plan has in all", "looks"),
    "sample_ratio_p_value": Meaning("Probability of arms as unequal as these if requests were shared as planned"),
    "comparisons": Meaning("Each metric in both arms", "as each metric"),
    "metric": Meaning("Name of the metric"),
    "MetricComparison.unit": Meaning("Unit of the metric"),
    "role": Meaning("primary: it decides; guardrail: it must not get worse"),
    "control": Meaning("Mean of the metric in the control", "as unit says"),
    "treatment": Meaning("Mean of the metric in the treatment", "as unit says"),
    "lift_pct": Meaning("Treatment against control", "% of control"),
    "lift_lower_pct": Meaning("Lower end of the lift's 95 % interval", "% of control"),
    "lift_upper_pct": Meaning("Upper end of the lift's 95 % interval", "% of control"),
    "p_boundary": Meaning("What p_value must be below at this look"),
    "MetricComparison.passed": Meaning("primary: it is better for certain; guardrail: it is not worse for certain"),
    "decision": Meaning("What follows"),
}

_FEEDBACK: Final = {
    "false_positive": Meaning("Whether the anomaly was none"),
    "anomaly_id": Meaning("id or alert_id of the anomaly; empty when node_id and timestamp name it"),
    "AnomalyFeedback.node_id": Meaning("The anomaly's node; empty when anomaly_id names it. Of maintenance: * is all"),
    "AnomalyFeedback.timestamp": Meaning("The anomaly's event time, or when maintenance begins, UTC; null with an id"),
    "AnomalyFeedback.anomaly_type": Meaning("The anomaly's type where no id says it; null counts as unknown"),
    "undo": Meaning("Whether an earlier word on the same anomaly is taken back"),
    "maintenance_until": Meaning("End of a maintenance window of the node, UTC; null for a word on one anomaly"),
    "ThresholdChange.id": Meaning("Deterministic id, <feedback's origin>:system.threshold"),
    "ThresholdChange.timestamp": Meaning("When the feedback was received, UTC"),
    "ThresholdChange.anomaly_type": Meaning("The type whose threshold moved"),
    "ThresholdChange.before": Meaning("Factor on the type's threshold before", "1"),
    "ThresholdChange.after": Meaning("Factor on the type's threshold from now on", "1"),
    "ThresholdChange.reason": Meaning("Which rule moved it, or why nothing did"),
    "ThresholdChange.feedback": Meaning("What the feedback was on, as the operator named it"),
    "true_positives": Meaning("Anomalies of the type that operators called real so far", "anomalies"),
    "false_positives": Meaning("Anomalies of the type that operators called false so far", "anomalies"),
    "given_at": Meaning("When the feedback was given, UTC; null when unknown"),
    "operator": Meaning("Who gives the feedback; empty when unknown"),
    "comment": Meaning("Anything in words"),
}

_PLANNED: Final = _CAPACITY | _ROLLUP | _OPTIMIZER | _PERFORMANCE | _MODEL | _EXPERIMENT | _FEEDBACK

_MEANINGS: Final[Mapping[str, Meaning]] = _IDENTITY | _TRANSFER | _DECISION | _NETWORK | _SYSTEM | _DRIFT | _PLANNED


def meaning_of(record: str, name: str) -> Meaning | None:
    """What a record's field means; None when nobody has said it yet.

    >>> meaning_of("NetworkSample", "packet_loss").doc
    'Lost packets / sent packets'
    """
    return _MEANINGS.get(f"{record}.{name}") or _MEANINGS.get(name)
