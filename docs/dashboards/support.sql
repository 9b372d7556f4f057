-- A row a run, layer, class and channel: the channels that support a class. A data set for Superset or Metabase.
SELECT run.name AS run, layer.name AS layer, class.name AS class, support.channel,
       sum(support.decisions)::INTEGER AS decisions,
       sum(support.decisions) / any_value(roots.decisions) AS rate,
       (sum(support.share_sum) / sum(support.edges))::DOUBLE AS mean_share
FROM channel_support AS support
JOIN class_roots AS roots USING (run_id, class_id, role)
JOIN run USING (run_id)
JOIN layer USING (run_id, layer_id)
JOIN class USING (run_id, class_id)
WHERE role = 'predicted' AND roots.outcome = 'any'
GROUP BY ALL
