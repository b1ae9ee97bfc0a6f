"""What people look at: tables, figures and pages made from results. Nothing here computes a score or a metric."""
