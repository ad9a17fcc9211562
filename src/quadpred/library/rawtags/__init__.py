"""Tags as raw items in their containers: what quadpred does not write keeps its bytes."""
